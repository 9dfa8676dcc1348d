"""Live cameras are live or silent, never stale, and reconnect by themselves."""

import io
import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from PIL import Image
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from foundation.backoff import Backoff
from ingest.errors import SourceError
from ingest.sources.video import camera as camera_module
from ingest.sources.video.camera import Camera
from testing.services.rtsp import RtspCamera
from testing.waiting import wait_until
from tests.ingest.sources.video.conftest import CameraReader, MjpegCamera
from tests.ingest.sources.video.grey_images import grey_jpeg, mean_grey_level

STATION = "camera-station"

ReadCamera = Callable[[Camera], CameraReader]


def reconnect_count() -> float:
    return REGISTRY.get_sample_value("andon_source_reconnects_total", {"station": STATION}) or 0.0


def corrupt_frames() -> float:
    labels = {"station": STATION, "reason": "corrupt-picture"}
    return REGISTRY.get_sample_value("andon_frames_dropped_total", labels) or 0.0


def short_backoff() -> Backoff:
    return Backoff(first_s=0.05, max_s=0.1)


def test_an_mjpeg_image_is_passed_on_unchanged(mjpeg_camera: MjpegCamera, read_camera: ReadCamera) -> None:
    before = datetime.now(UTC)
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    mjpeg_camera.images.put(grey_jpeg(40))
    frame = reader.next()

    assert frame.image == grey_jpeg(40)
    assert before <= frame.captured_at <= datetime.now(UTC)
    assert frame.part_id is None


@pytest.mark.parametrize("part_type", ["image/jpg", "image/jpeg; charset=utf-8", "application/octet-stream"])
@pytest.mark.parametrize("has_first_delimiter", [True, False])
@pytest.mark.parametrize("has_length", [True, False])
def test_a_nonstandard_stream_is_read_as_browsers_read_it(
    mjpeg_camera: MjpegCamera, read_camera: ReadCamera, part_type: str, has_first_delimiter: bool, has_length: bool
) -> None:
    mjpeg_camera.part_type, mjpeg_camera.has_length = part_type, has_length
    mjpeg_camera.has_first_delimiter = has_first_delimiter
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    mjpeg_camera.images.put(grey_jpeg(40))

    assert reader.next().image == grey_jpeg(40)


def test_a_jpeg_without_end_marker_passes_as_it_is(mjpeg_camera: MjpegCamera, read_camera: ReadCamera) -> None:
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    mjpeg_camera.images.put(grey_jpeg(40).removesuffix(b"\xff\xd9"))

    assert reader.next().image == grey_jpeg(40).removesuffix(b"\xff\xd9")


def test_a_part_that_is_no_jpeg_is_counted_and_the_next_one_is_read(
    mjpeg_camera: MjpegCamera, read_camera: ReadCamera
) -> None:
    before = corrupt_frames()
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    for part in (b"no image", b"\xff\xd8" + bytes(3000), grey_jpeg(40)):
        mjpeg_camera.images.put(part)

    assert reader.next().image == grey_jpeg(40)
    assert corrupt_frames() - before == 2


def test_a_web_page_instead_of_a_video_ends_the_source_with_an_error(
    mjpeg_camera: MjpegCamera, read_camera: ReadCamera
) -> None:
    mjpeg_camera.content_type = "text/html"
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))

    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:\d+/video "):
        reader.next()


def test_the_password_is_sent_to_a_camera_that_requires_it(mjpeg_camera: MjpegCamera, read_camera: ReadCamera) -> None:
    mjpeg_camera.realm = "camera"
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    mjpeg_camera.images.put(grey_jpeg(40))

    assert reader.next().image == grey_jpeg(40)
    assert mjpeg_camera.authorization == "Basic dXNlcjpzM2NyZXQ="  # user:s3cret


def test_a_slow_reader_gets_the_newest_image(
    mjpeg_camera: MjpegCamera, read_camera: ReadCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "STALE_AFTER_S", 60.0)
    arrived = threading.Semaphore(0)
    put = camera_module._LatestArrival.put

    def counting_put(latest: camera_module._LatestArrival, arrival: camera_module._Arrival) -> None:
        put(latest, arrival)
        arrived.release()

    monkeypatch.setattr(camera_module._LatestArrival, "put", counting_put)
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    for _ in range(3):
        mjpeg_camera.images.put(grey_jpeg(10))
    reader.next()
    for level in (50, 100, 150, 200, 250):
        mjpeg_camera.images.put(grey_jpeg(level))
    for _ in range(7):
        assert arrived.acquire(timeout=60)

    assert mean_grey_level(reader.next().image) >= 200


def test_a_stale_image_is_not_yielded(
    mjpeg_camera: MjpegCamera, read_camera: ReadCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "STALE_AFTER_S", -1.0)  # all frames are too old
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    for _ in range(5):
        mjpeg_camera.images.put(grey_jpeg(10))

    assert reader.receives_nothing_for(2)


def test_a_silent_camera_is_reconnected(mjpeg_camera: MjpegCamera, read_camera: ReadCamera) -> None:
    before = reconnect_count()
    with capture_logs() as logs:
        reader = read_camera(Camera(mjpeg_camera.address, STATION, read_timeout_s=0.5, backoff=short_backoff()))
        for _ in range(3):
            mjpeg_camera.images.put(grey_jpeg(10))
        reader.next()
        seen = mjpeg_camera.connections
        wait_until(lambda: mjpeg_camera.connections > seen)
        for _ in range(30):
            mjpeg_camera.images.put(grey_jpeg(200))
        wait_until(lambda: mean_grey_level(reader.next().image) > 150)

    assert reconnect_count() - before >= 1
    assert "no data arrived in time" in {entry["reason"] for entry in logs}
    assert not any("s3cret" in str(entry) for entry in logs)


def test_a_camera_that_closes_the_connection_is_reconnected(mjpeg_camera: MjpegCamera, read_camera: ReadCamera) -> None:
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))
    for picture in (
        *[grey_jpeg(10)] * 3,
        None,
        *[grey_jpeg(200)] * 30,
    ):
        mjpeg_camera.images.put(picture)

    wait_until(lambda: mean_grey_level(reader.next().image) > 150)
    assert mjpeg_camera.connections > 1


def test_a_refused_password_ends_the_source_with_an_error(mjpeg_camera: MjpegCamera, read_camera: ReadCamera) -> None:
    mjpeg_camera.status = 401
    reader = read_camera(Camera(mjpeg_camera.address, STATION, backoff=short_backoff()))

    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:\d+/video .*401") as caught:
        reader.next()
    assert "s3cret" not in str(caught.value)


def test_an_unreachable_camera_is_retried(read_camera: ReadCamera) -> None:
    tried: queue.Queue[float] = queue.Queue()

    def wait(stop: threading.Event, seconds: float) -> bool:
        tried.put(seconds)
        return stop.wait(0.01)

    with capture_logs() as logs:
        read_camera(Camera("rtsp://127.0.0.1:9/camera", STATION, wait=wait)).request_frame()
        waits = [tried.get(timeout=60) for _ in range(4)]

    assert all(low <= waited <= 2 * low for low, waited in zip([0.25, 0.5, 1, 2], waits, strict=True))
    assert logs[0]["reason"] == "Connection refused"


@pytest.mark.rtsp
def test_an_rtsp_camera_is_reconnected_after_it_was_switched_off(
    rtsp_camera: RtspCamera, read_camera: ReadCamera
) -> None:
    before = reconnect_count()
    reader = read_camera(Camera(rtsp_camera.address, STATION, read_timeout_s=5, backoff=short_backoff()))
    first, second = reader.next(), reader.next()

    assert Image.open(io.BytesIO(first.image)).size == (320, 240)
    assert first.captured_at < second.captured_at
    assert first.image != second.image

    rtsp_camera.stop()
    wait_until(lambda: reconnect_count() > before)
    off_at = datetime.now(UTC)
    rtsp_camera.start()

    assert reader.next().captured_at > off_at
