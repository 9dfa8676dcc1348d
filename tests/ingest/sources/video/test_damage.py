"""No frame of a damaged video passes as one that the camera saw."""

import io
import random
import threading
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.container import InputContainer
from PIL import Image

from ingest.sources.video.decoding import stream_images, video_stream
from ingest.sources.video.recording import Recording
from tests.ingest.sources.video.test_recording import write_video

FRAMES, GROUP = 40, 10
"""Frames of a film, and frames from one key frame to the next."""

Pixels = npt.NDArray[np.uint8]


def moving_images() -> list[Image.Image]:
    """Return images of a random texture, each moved by three columns."""
    texture = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    return [Image.fromarray(np.roll(texture, 3 * number, axis=1)) for number in range(FRAMES)]


def overwrite(path: Path, packet: int, seed: int) -> None:
    """Overwrite the second half of a frame's data with random bytes."""
    with av.open(str(path)) as container:
        found = [each for each in container.demux(video=0) if each.size][packet]
    assert found.pos is not None
    content = bytearray(path.read_bytes())
    start, end = found.pos + found.size // 2, found.pos + found.size
    content[start:end] = random.Random(seed).randbytes(end - start)
    path.write_bytes(content)


def read(path: Path) -> tuple[dict[int, Pixels], set[int], int]:
    """Return the frames by number, the numbers of the damaged ones, and how many could not be decoded."""
    lost = []
    frames: dict[int, Pixels] = {}
    damaged = set()
    with av.open(str(path)) as container:
        assert isinstance(container, InputContainer)
        for image in stream_images(container, video_stream(container, "film"), lambda: lost.append(1)):
            assert image.time_s is not None
            number = round(image.time_s * 10)
            frames[number] = np.asarray(Image.open(io.BytesIO(image.jpeg())))
            if image.is_damaged:
                damaged.add(number)
    return frames, damaged, len(lost)


def is_smeared(frame: Pixels, clean: Pixels) -> bool:
    return int(np.abs(frame.astype(int) - clean).max()) > 16


@pytest.mark.parametrize(
    ("b_frames", "damaged_packet"),
    [(0, 13), (0, 20), (0, 27), (2, 11), (2, 14), (2, 20)],  # packets of frames that others refer to
)
@pytest.mark.parametrize("seed", [1, 2])  # of others the random bytes are a valid picture, which nobody can tell
def test_frames_after_a_damaged_one_are_marked_until_the_next_key_frame(
    tmp_path: Path, b_frames: int, damaged_packet: int, seed: int
) -> None:
    options = {"x264-params": f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes={b_frames}"}
    path = write_video(tmp_path / "film.mp4", moving_images(), fps=10, **options)
    clean, no_damage, no_loss = read(path)
    assert (len(clean), no_damage, no_loss) == (FRAMES, set(), 0)
    overwrite(path, damaged_packet, seed)

    frames, damaged, lost = read(path)

    smeared = {number for number, frame in frames.items() if is_smeared(frame, clean[number])}
    assert len(frames) + lost == FRAMES
    assert lost
    assert smeared <= damaged
    first = damaged_packet - damaged_packet % GROUP
    assert damaged <= set(range(first - b_frames, first + GROUP))


def test_a_film_whose_frames_stand_for_themselves_loses_one_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.avi", moving_images(), fps=10, codec="mpeg4", g="1")
    overwrite(path, 20, seed=0)

    frames, damaged, _ = read(path)

    assert len(frames) >= FRAMES - 1
    assert damaged <= {20}


def test_a_recording_marks_its_damaged_frames_as_bad_pictures(tmp_path: Path) -> None:
    options = {"x264-params": f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes=0"}
    path = write_video(tmp_path / "film.mp4", moving_images(), fps=10, **options)
    overwrite(path, 13, seed=1)

    problems = [frame.picture_problem for frame in Recording(path, "s1").frames(threading.Event())]

    assert problems == [None] * 13 + ["damaged"] * 6 + [None] * 20
