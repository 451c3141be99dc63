"""The reference master: a small, real one, for a few servers, for tests, and as the example of the other side."""
