"""A station's first day, simulated from a labelled dataset: what it catches as it learns from what streams by."""
