"""Labels that people give to frames, the queue of frames without one, and the random sample."""
