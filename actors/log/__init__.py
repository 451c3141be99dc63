"""What the daemon says: structured lines, bounded on disk, without secrets."""
