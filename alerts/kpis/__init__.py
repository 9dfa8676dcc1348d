"""KPIs of quality: first-pass yield, false rejects and escapes, by shift, day or station, and the shift report."""
