"""Rules on the operation of the whole line: its scorers, lag, disk, dead letters and deleted frames."""
