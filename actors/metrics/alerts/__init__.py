"""Alerts: rules as data, one pure step from samples to transitions, and the actor that tells the master."""
