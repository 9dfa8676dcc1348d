"""Sums and counts over verdicts, so that charts over weeks stay fast."""
