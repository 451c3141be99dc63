"""Engine logs as streams: what is there, and what comes."""
