"""One pure file for each engine kind: from a spec to a container request."""
