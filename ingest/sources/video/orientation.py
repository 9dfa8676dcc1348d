"""The display matrix of a video: how its frames are turned and mirrored to be upright."""

import struct
from dataclasses import dataclass

from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from PIL import Image

MATRIX = struct.Struct("=9i")
"""FFmpeg's display matrix: nine 32-bit integers in the machine's byte order, by rows."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """The steps that bring a decoded frame upright: rows and columns are exchanged, then rows and columns mirrored."""

    is_transposed: bool = False
    mirrors_rows: bool = False
    mirrors_columns: bool = False

    @property
    def is_upright(self) -> bool:
        """Whether frames are upright as they are decoded."""
        return self == UPRIGHT

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the image upright."""
        if self.is_transposed:
            image = image.transpose(Image.Transpose.TRANSPOSE)
        if self.mirrors_rows:
            image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        if self.mirrors_columns:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image


UPRIGHT = Orientation()


def frame_orientation(frame: VideoFrame) -> Orientation:
    """Return the orientation that a frame's stream declares (ISO/IEC 14496-12, 8.3.2, the track's matrix).

    The matrix maps column p and row q of the frame to column a·p + c·q and row b·p + d·q of the screen, but for an
    offset. A frame without a matrix is upright, and so is one whose matrix turns by another angle than quarter turns:
    players do not agree on those.
    """
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(side_data, SideData):
        return UPRIGHT
    a, b, _, c, d, *_ = MATRIX.unpack(bytes(side_data))
    if b == c == 0:
        return Orientation(False, mirrors_rows=d < 0, mirrors_columns=a < 0)
    if a == d == 0:
        return Orientation(True, mirrors_rows=b < 0, mirrors_columns=c < 0)
    return UPRIGHT
