"""The closed set of messages: one file for each family, one table of them all in `registry.py`."""
