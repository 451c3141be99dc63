"""Sends the log to where others read it: syslog, OTLP, Loki."""
