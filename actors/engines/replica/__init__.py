"""One actor for each engine container."""
