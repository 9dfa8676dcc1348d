"""Statistics: control charts, their run lengths, and confidence intervals."""
