"""Alerts and their rules, mutes, channels and notifications."""
