"""The scale of every score bar: 0 to 100, with the threshold at 50 whatever the detector's unit."""

from storage.line.decision import decide

AT_THRESHOLD = 50.0


def on_scale(score: float, threshold: float) -> float:
    """Return a score from 0 to 100: 0 at 0, 50 at the threshold, 75 at twice the threshold, and 100 for none.

    Below the threshold it is proportional. Above it the rest of the scale is divided by how many times the threshold
    the score is, so that every greater score lies further right. A threshold that is not positive has no scale: a
    score below it is at 0, and one above it at 100.
    """
    if score == threshold:
        return AT_THRESHOLD
    is_above = decide(score, threshold) == "flag"
    if threshold <= 0:
        return 100.0 if is_above else 0.0
    return 100.0 - AT_THRESHOLD * (threshold / score) if is_above else max(0.0, AT_THRESHOLD * (score / threshold))


def rounded(score: float, threshold: float) -> int:
    """Return a score on the scale as a whole number, which is 50 for the threshold alone: 49 below it, 51 above."""
    whole = round(on_scale(score, threshold))
    if score == threshold:
        return whole
    return max(whole, 51) if decide(score, threshold) == "flag" else min(whole, 49)
