"""Alerts: rules over verdicts, control charts, KPIs and notification."""
