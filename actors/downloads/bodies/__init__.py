"""The transfer engine: bodies of files by plain threads, hashed from memory while they are written."""
