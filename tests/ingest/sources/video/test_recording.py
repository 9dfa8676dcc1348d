"""Recordings keep their timestamps, and yield every frame that can be decoded."""

import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image
from prometheus_client import REGISTRY

from ingest.errors import SourceError
from ingest.sources.video.recording import Recording
from tests.ingest.sources.video.grey_images import grey_image, mean_grey_level

STATION = "recording-station"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def corrupt_frames() -> float:
    labels = {"station": STATION, "reason": "corrupt-picture"}
    return REGISTRY.get_sample_value("andon_frames_dropped_total", labels) or 0.0


def write_video(
    path: Path, images: Sequence[int | Image.Image], fps: int = 5, codec: str = "libx264", **options: str
) -> Path:
    """Write a video of 64 × 48 images, or of plain grey frames by their levels."""
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=options))
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, image in enumerate(images):
            picture = image if isinstance(image, Image.Image) else grey_image(image)
            frame = VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("avi", "mjpeg"), ("mkv", "mpeg4")])
def test_a_recording_yields_every_frame_in_order_as_jpeg(tmp_path: Path, ending: str, codec: str) -> None:
    levels = [20, 60, 100, 140, 180, 220]

    frames = list(
        Recording(write_video(tmp_path / f"film.{ending}", levels, codec=codec), STATION).frames(threading.Event())
    )

    assert [mean_grey_level(frame.image) for frame in frames] == pytest.approx(levels, abs=4)
    assert [frame.part_id for frame in frames] == ["000001", "000002", "000003", "000004", "000005", "000006"]
    assert {(frame.content_type, frame.station) for frame in frames} == {("image/jpeg", STATION)}


def test_capture_times_follow_the_stream_and_are_never_in_the_future(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", [50] * 10, fps=5)

    frames = list(Recording(path, STATION, now=lambda: NOW).frames(threading.Event()))

    started_at = NOW - timedelta(seconds=2)
    expected = [(started_at + timedelta(seconds=0.2 * number)).timestamp() for number in range(10)]
    assert [frame.captured_at.timestamp() for frame in frames] == pytest.approx(expected, abs=0.001)


def test_a_recording_stops_when_the_stop_event_is_set(tmp_path: Path) -> None:
    stop = threading.Event()
    with closing(Recording(write_video(tmp_path / "film.mp4", [50] * 10), STATION).frames(stop)) as frames:
        next(frames)
        stop.set()
        assert list(frames) == []


def test_a_corrupt_frame_is_counted_and_the_others_are_yielded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.avi", [30, 60, 90], codec="mpeg4")
    with av.open(str(path)) as container:
        second = [packet for packet in container.demux(video=0) if packet.size][1]
    assert second.pos is not None
    start, end = second.pos + 8, second.pos + 8 + second.size
    content = bytearray(path.read_bytes())
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)
    before = corrupt_frames()

    frames = list(Recording(path, STATION).frames(threading.Event()))

    assert 1 <= len(frames) <= 2
    assert corrupt_frames() - before >= 1


@pytest.mark.parametrize("content", [b"", b"not a film" * 100])
def test_a_file_that_is_not_a_video_is_a_source_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.mp4").write_bytes(content)

    with pytest.raises(SourceError, match=r"film\.mp4"):
        list(Recording(tmp_path / "film.mp4", STATION).frames(threading.Event()))


def test_a_file_without_video_is_a_source_error(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))

    with pytest.raises(SourceError, match=r"sound\.wav"):
        list(Recording(tmp_path / "sound.wav", STATION).frames(threading.Event()))
