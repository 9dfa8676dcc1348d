"""The alert rules, each a pure function of the state of a station or the line at one moment."""
