"""Notification of people through channels."""
