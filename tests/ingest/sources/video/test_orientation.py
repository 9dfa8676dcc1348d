"""Frames are turned as their video says, in each of the eight ways."""

import io
import struct
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from ingest.sources.video.recording import Recording
from tests.ingest.sources.video.test_recording import write_video

ONE = 1 << 16  # 16.16 fixed point
CORNERS = {"top left": 30, "top right": 100, "bottom left": 170, "bottom right": 240}

# a, b, c, d: column p and row q go to column a·p + c·q and row b·p + d·q
MATRICES = {
    "upright": ((1, 0, 0, 1), [[30, 100], [170, 240]]),
    "a quarter turn clockwise": ((0, 1, -1, 0), [[170, 30], [240, 100]]),
    "half a turn": ((-1, 0, 0, -1), [[240, 170], [100, 30]]),
    "a quarter turn counter-clockwise": ((0, -1, 1, 0), [[100, 240], [30, 170]]),
    "mirrored left to right": ((-1, 0, 0, 1), [[100, 30], [240, 170]]),
    "mirrored top to bottom": ((1, 0, 0, -1), [[170, 240], [30, 100]]),
    "rows and columns exchanged": ((0, 1, 1, 0), [[30, 170], [100, 240]]),
    "exchanged and mirrored both ways": ((0, -1, -1, 0), [[240, 100], [170, 30]]),
}


def quadrants() -> Image.Image:
    """Return an image of four grey levels, 64 × 48."""
    levels = np.array([[30, 100], [170, 240]], dtype=np.uint8)
    return Image.fromarray(levels.repeat(24, axis=0).repeat(32, axis=1)).convert("RGB")


def levels_of(image: bytes) -> list[list[int]]:
    """Return the grey levels in the middles of the four quadrants, rounded to tens."""
    grey = np.asarray(Image.open(io.BytesIO(image)).convert("L"), dtype=float)
    rows, columns = (grey.shape[0] // 4, -grey.shape[0] // 4), (grey.shape[1] // 4, -grey.shape[1] // 4)
    return [[round(grey[row, column] / 10) * 10 for column in columns] for row in rows]


def declare(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a matrix into the track header of an MP4 file (ISO/IEC 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 4 + 20 + 16
    a, b, c, d = (value * ONE for value in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
@pytest.mark.parametrize("declared", MATRICES)
def test_a_recording_is_read_as_players_show_it(tmp_path: Path, codec: str, declared: str) -> None:
    matrix, expected = MATRICES[declared]
    path = write_video(tmp_path / "film.mov", [quadrants()] * 2, codec=codec)
    declare(path, matrix)

    frames = list(Recording(path, "s1").frames(threading.Event()))

    assert [levels_of(frame.image) for frame in frames] == [expected, expected]


def test_a_frame_that_is_turned_by_another_angle_stays_as_it_is(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mov", [quadrants()])
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 4 + 20 + 16
    half = 46341  # cos 45°
    content[start : start + 36] = struct.pack(">9i", half, half, 0, -half, half, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation == -45

    frames = list(Recording(path, "s1").frames(threading.Event()))

    assert levels_of(frames[0].image) == [[30, 100], [170, 240]]
