"""What every room may use: errors, the clock, atomic files, back-off and background threads."""
