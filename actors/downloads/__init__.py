"""Brings models, proves them, keeps them in versions."""
