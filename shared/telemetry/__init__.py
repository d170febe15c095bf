"""Logs, metrics and traces, free of secrets."""
