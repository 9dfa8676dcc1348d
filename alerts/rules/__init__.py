"""The alert rules, each a pure function of what is known of a station or the line at one moment."""
