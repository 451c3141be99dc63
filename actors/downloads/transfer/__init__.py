"""One actor for each transfer."""
