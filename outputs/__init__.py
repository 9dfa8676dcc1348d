"""Outputs: verdicts to machines and files, at least once and in order per station."""
