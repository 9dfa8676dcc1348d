"""What a station learns from the frames that streamed by and from what people said of them: pure functions of scores.

All of it sees numpy arrays and no database, no network and no image, so that a simulated day
(`scorer.evaluation.stream`) runs exactly what a station would.
"""
