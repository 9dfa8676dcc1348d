"""Commands about stations: their settings, normal sets and thresholds."""
