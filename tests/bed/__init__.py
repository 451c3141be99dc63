"""Real surroundings for tests, the demo and benchmarks: a Docker Engine, a registry, an engine image, models.

All of it works without pytest (`python -m tests.bed up|down|status`), and everything it starts, it stops.
"""
