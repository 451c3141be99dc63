"""What was accepted, what is wanted and what was not yet told: durable, in one SQLite file."""
