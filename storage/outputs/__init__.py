"""Outputs and their outbox: the verdicts that each output still has to deliver."""
