"""Commands that run the line: demo, produce, score, dashboard."""
