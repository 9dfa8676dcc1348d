"""Images and anomaly maps, stored by their content."""
