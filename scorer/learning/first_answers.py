"""A threshold from the first frames of a station and the answers on the highest of them.

A hundred frames say where the highest hundredth of the good parts lies; the first thirty don't. But people who see the
highest of those say which are defects, and a threshold that lets a known defect pass is not worth waiting for. So it
comes to lie in the gap between what nobody called a defect and the lowest confirmed defect above it.
"""

import math
from collections.abc import Sequence

from scorer.recipes.calibration import MIN_SCORE, Calibration, calibrate

MIN_GOOD_FRAMES = 15
"""Different scores of frames that nobody called a defect; their highest is exceeded by 1 of 16 good parts at most."""


def first_threshold(
    unconfirmed: Sequence[float], confirmed_defects: Sequence[float], answers: int, false_reject_rate: float
) -> Calibration | None:
    """Return the threshold that the first frames and answers lead to; None while they say too little.

    Without a defect above all other frames it is what these frames alone would allow, as normals do.

    Args:
        unconfirmed: The scores of the frames that nobody called a defect.
        confirmed_defects: The scores of those that people called one.
        answers: How many of the highest frames people called good or defect.
        false_reject_rate: The promise, a fraction between 0 and 1, both excluded.
    """
    if len(set(unconfirmed)) < MIN_GOOD_FRAMES:
        return None
    rate = 1 / (len(unconfirmed) + 1)
    bound = f"guarantee a false-reject rate of at most {100 * rate:.2g} %, not {100 * false_reject_rate:.3g} %"
    limit = Calibration(
        calibrate(unconfirmed, false_reject_rate).value,
        f"What {len(unconfirmed)} frames that nobody called a defect allow, calibrated like normals. So few {bound}.",
    )
    highest = max(unconfirmed)
    above = [score for score in confirmed_defects if score > highest]
    if not above or min(above) > limit.value:
        return limit
    middle = math.sqrt(max(highest, MIN_SCORE) * min(above))
    return Calibration(
        min(max(middle, highest), math.nextafter(min(above), 0.0)),
        f"In the middle between the highest of {len(unconfirmed)} frames that nobody called a defect and the lowest "
        f"confirmed defect, by {answers} answers. So few {bound}; 100 frames replace it.",
    )
