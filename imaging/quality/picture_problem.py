"""Why a frame is a bad picture: the codes in verdicts and metrics, and what each says to people."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class PictureProblem(StrEnum):
    """The reason for a bad picture; all but the last three are measured against the normals."""

    BLANK = "blank"
    INCOMPLETE = "incomplete"
    DARK = "dark"
    OVEREXPOSED = "overexposed"
    LOW_CONTRAST = "low-contrast"
    BLURRED = "blurred"
    EXCEEDS_BIT_DEPTH = "exceeds-bit-depth"
    DAMAGED = "damaged"
    REPORTED = "reported"


EXPLANATIONS: Final[Mapping[PictureProblem, str]] = {
    PictureProblem.BLANK: "The picture shows nothing: look for a lens cap, a lamp that is off, or a camera without a "
    "signal.",
    PictureProblem.INCOMPLETE: "A part of the picture is missing: look at the camera's cable, network and driver.",
    PictureProblem.DARK: "The picture is much darker than the normals: look at lamp, exposure and aperture.",
    PictureProblem.OVEREXPOSED: "The picture is much brighter than the normals: look at exposure, gain and "
    "stray light.",
    PictureProblem.LOW_CONTRAST: "The picture has much less contrast than the normals: look for a dirty lens, stray "
    "light, or a place without a part.",
    PictureProblem.BLURRED: "The picture is much less sharp than the normals: look at focus, vibration and exposure "
    "time.",
    PictureProblem.EXCEEDS_BIT_DEPTH: "The picture is brighter than the bit depth of the normals allows: look at the "
    "camera's pixel format, or set the station's bit depth.",
    PictureProblem.DAMAGED: "The video decoder found this picture damaged and concealed a part of it: look at the "
    "stream's network and bit rate.",
    PictureProblem.REPORTED: "The source marked the picture as bad: look at the camera and its driver.",
}
"""One sentence per problem for people: what is wrong with the picture, and where to look."""


def explain(code: str) -> str:
    """Return the sentence for people of a stored code, also of one that a later version stored."""
    return EXPLANATIONS[reported_problem(code)]


def reported_problem(code: str) -> PictureProblem:
    """Return the problem that a source reported by its code; `PictureProblem.REPORTED` for a code that is not known."""
    try:
        return PictureProblem(code)
    except ValueError:
        return PictureProblem.REPORTED
