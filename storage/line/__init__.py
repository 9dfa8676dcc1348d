"""Stations and what happens on the line: normal sets, thresholds, verdicts, dead letters, jobs."""
