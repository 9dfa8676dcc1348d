"""The monitor: reads the line in rounds, evaluates the rules, and opens and resolves alerts."""
