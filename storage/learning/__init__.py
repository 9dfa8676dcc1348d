"""What stations learn from their streams: the scores of frames, by any model, and the defect sets fitted to labels."""
