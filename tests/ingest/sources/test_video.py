"""Video: recordings keep their clock, live cameras are live or silent, never stale."""

import io
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from PIL import Image
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from foundation.backoff import Backoff
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.sources.video import camera as camera_source
from ingest.sources.video.camera import Camera, LateFrameFilter
from ingest.sources.video.decoding import describe_error, without_credentials
from ingest.sources.video.recording import Recording
from testing.rtsp import RtspCamera

STATION = "video-station"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"station": STATION, **labels}) or 0.0


def grey(level: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def jpeg(level: int) -> bytes:
    written = io.BytesIO()
    grey(level).save(written, "JPEG", quality=80)
    return written.getvalue()


def level_of(image: bytes) -> float:
    return float(np.asarray(Image.open(io.BytesIO(image))).mean())


def film(path: Path, levels: list[int], fps: int = 5, codec: str = "libx264") -> Path:
    """Write a video of plain grey pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_image(grey(level))
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# Recordings


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("avi", "mjpeg"), ("mkv", "mpeg4")])
def test_a_recording_gives_every_picture_in_order_as_jpeg(tmp_path: Path, ending: str, codec: str) -> None:
    levels = [20, 60, 100, 140, 180, 220]

    frames = list(Recording(film(tmp_path / f"film.{ending}", levels, codec=codec), STATION).frames(threading.Event()))

    assert [level_of(frame.image) for frame in frames] == pytest.approx(levels, abs=4)
    assert [frame.part_id for frame in frames] == ["000001", "000002", "000003", "000004", "000005", "000006"]
    assert {(frame.content_type, frame.station) for frame in frames} == {("image/jpeg", STATION)}


def test_a_recordings_times_advance_as_the_stream_does_and_none_lies_in_the_future(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", [50] * 10, fps=5)

    frames = list(Recording(path, STATION, now=lambda: NOW).frames(threading.Event()))

    began_at = NOW - timedelta(seconds=2)
    expected = [(began_at + timedelta(seconds=0.2 * number)).timestamp() for number in range(10)]
    assert [frame.captured_at.timestamp() for frame in frames] == pytest.approx(expected, abs=0.001)


def test_a_recording_stops_when_told(tmp_path: Path) -> None:
    stop = threading.Event()
    with closing(Recording(film(tmp_path / "film.mp4", [50] * 10), STATION).frames(stop)) as frames:
        next(frames)
        stop.set()
        assert list(frames) == []


def test_a_picture_that_cannot_be_decoded_is_counted_and_the_others_come(tmp_path: Path) -> None:
    path = film(tmp_path / "film.avi", [30, 60, 90], codec="mpeg4")
    with av.open(str(path)) as container:
        second = [packet for packet in container.demux(video=0) if packet.size][1]
        place, size = second.pos + 8, second.size
    content = bytearray(path.read_bytes())
    content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    before = counted("andon_frames_dropped_total", reason="corrupt-picture")

    frames = list(Recording(path, STATION).frames(threading.Event()))

    assert 1 <= len(frames) <= 2
    assert counted("andon_frames_dropped_total", reason="corrupt-picture") - before >= 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "can't be read after 0 pictures"), (b"not a film" * 100, "can't be read after 0 pictures")],
)
def test_a_file_that_is_no_video_is_refused_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "film.mp4").write_bytes(content)

    with pytest.raises(SourceError, match=sentence):
        list(Recording(tmp_path / "film.mp4", STATION).frames(threading.Event()))


def test_a_file_without_pictures_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))

    with pytest.raises(SourceError, match=r"sound\.wav has no video stream in it"):
        list(Recording(tmp_path / "sound.wav", STATION).frames(threading.Event()))


# Motion JPEG over HTTP


class MjpegCamera:
    """A small real HTTP camera: sends what is put into `pictures`; None hangs up, and `status` can refuse."""

    def __init__(self) -> None:
        self.pictures: queue.Queue[bytes | None] = queue.Queue()
        self.status = 200
        self.connections = 0
        self.authorization: str | None = None
        self.off = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.connections += 1
                camera.authorization = self.headers["Authorization"]
                self.send_response(camera.status)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                while camera.status == 200 and not camera.off.is_set():
                    try:
                        picture = camera.pictures.get(timeout=0.05)
                    except queue.Empty:
                        continue
                    if picture is None:
                        return
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + picture + b"\r\n")
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://user:s3cret@127.0.0.1:{self._server.server_port}/video"

    def close(self) -> None:
        self.off.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def mjpeg_camera() -> Iterator[MjpegCamera]:
    camera = MjpegCamera()
    yield camera
    camera.close()


class Watching:
    """Reads a camera in a thread of its own, so that a test can put limits on how long it waits."""

    def __init__(self, camera: Camera) -> None:
        self.stop = threading.Event()
        self._wanted = threading.Semaphore(0)
        self._given: queue.Queue[Frame | Exception] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(camera,))
        self._thread.start()

    def _read(self, camera: Camera) -> None:
        try:
            with closing(camera.frames(self.stop)) as frames:
                while self._wanted.acquire() and not self.stop.is_set():
                    self._given.put(next(frames))
        except (SourceError, StopIteration) as error:
            self._given.put(error)

    def ask(self) -> None:
        self._wanted.release()

    def next(self) -> Frame:
        self.ask()
        given = self._given.get(timeout=30)
        if isinstance(given, Exception):
            raise given
        return given

    def nothing_for(self, seconds: float) -> bool:
        self.ask()
        try:
            self._given.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        self.stop.set()
        self._wanted.release()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def watch() -> Iterator[Callable[[Camera], Watching]]:
    open_now: list[Watching] = []

    def watching(camera: Camera) -> Watching:
        open_now.append(Watching(camera))
        return open_now[-1]

    yield watching
    for one in open_now:
        one.close()


def at_once() -> Backoff:
    return Backoff(first_s=0.05, max_s=0.1)


def test_a_mjpeg_picture_passes_as_the_camera_made_it(
    mjpeg_camera: MjpegCamera, watch: Callable[[Camera], Watching]
) -> None:
    before = datetime.now(UTC)
    watching = watch(Camera(mjpeg_camera.address, STATION, backoff=at_once()))
    for level in (40, 40, 40):  # FFmpeg looks at a few before it hands out the first
        mjpeg_camera.pictures.put(jpeg(level))
    frame = watching.next()

    assert frame.image == jpeg(40)
    assert before <= frame.captured_at <= datetime.now(UTC)
    assert frame.part_id is None


def test_who_asks_late_gets_the_newest_picture(
    mjpeg_camera: MjpegCamera, watch: Callable[[Camera], Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_source, "STALE_AFTER_S", 60.0)
    arrived = threading.Semaphore(0)
    put = camera_source._Newest.put
    monkeypatch.setattr(camera_source._Newest, "put", lambda *given: (put(*given), arrived.release()))
    watching = watch(Camera(mjpeg_camera.address, STATION, backoff=at_once()))
    for _ in range(3):
        mjpeg_camera.pictures.put(jpeg(10))
    watching.next()
    for level in (50, 100, 150, 200, 250):
        mjpeg_camera.pictures.put(jpeg(level))
    for _ in range(7):
        assert arrived.acquire(timeout=20)

    assert level_of(watching.next().image) >= 200


def test_a_picture_that_lay_too_long_is_not_shown_as_live(
    mjpeg_camera: MjpegCamera, watch: Callable[[Camera], Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_source, "STALE_AFTER_S", -1.0)  # everything lay too long
    watching = watch(Camera(mjpeg_camera.address, STATION, backoff=at_once()))
    for _ in range(5):
        mjpeg_camera.pictures.put(jpeg(10))

    assert watching.nothing_for(2)


def test_a_camera_that_falls_silent_is_left_and_connected_again(
    mjpeg_camera: MjpegCamera, watch: Callable[[Camera], Watching]
) -> None:
    before = counted("andon_source_reconnects_total")
    with capture_logs() as logs:
        watching = watch(Camera(mjpeg_camera.address, STATION, read_timeout_s=0.5, backoff=at_once()))
        for _ in range(3):
            mjpeg_camera.pictures.put(jpeg(10))
        watching.next()
        seen = mjpeg_camera.connections
        wait_until(lambda: mjpeg_camera.connections > seen)
        for _ in range(30):
            mjpeg_camera.pictures.put(jpeg(200))
        wait_until(lambda: level_of(watching.next().image) > 150)

    assert counted("andon_source_reconnects_total") - before >= 1
    assert "nothing came in time" in {entry["why"] for entry in logs}
    assert not any("s3cret" in str(entry) for entry in logs)


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen in 10 seconds")


def test_a_camera_that_hangs_up_is_connected_again(
    mjpeg_camera: MjpegCamera, watch: Callable[[Camera], Watching]
) -> None:
    watching = watch(Camera(mjpeg_camera.address, STATION, backoff=at_once()))
    for picture in (*[jpeg(10)] * 3, None, *[jpeg(200)] * 30):  # bright ones come after it has hung up
        mjpeg_camera.pictures.put(picture)

    wait_until(lambda: level_of(watching.next().image) > 150)
    assert mjpeg_camera.connections > 1


def test_a_camera_that_refuses_our_password_ends_it_in_one_sentence(
    mjpeg_camera: MjpegCamera, watch: Callable[[Camera], Watching]
) -> None:
    mjpeg_camera.status = 401
    watching = watch(Camera(mjpeg_camera.address, STATION, backoff=at_once()))

    with pytest.raises(SourceError, match=r"The camera http://127\.0\.0\.1:\d+/video can't be opened: .*401") as caught:
        watching.next()
    assert "s3cret" not in str(caught.value)


def test_an_address_where_nothing_listens_is_tried_again(watch: Callable[[Camera], Watching]) -> None:
    tried: queue.Queue[float] = queue.Queue()

    def wait(stop: threading.Event, seconds: float) -> bool:
        tried.put(seconds)
        return stop.wait(0.01)

    with capture_logs() as logs:
        watch(Camera("rtsp://127.0.0.1:9/camera", STATION, wait=wait)).ask()
        waits = [tried.get(timeout=10) for _ in range(4)]

    assert all(low <= waited <= 2 * low for low, waited in zip([0.25, 0.5, 1, 2], waits, strict=True))
    assert logs[0]["why"] == "Connection refused"


# RTSP


@pytest.mark.rtsp
def test_an_rtsp_camera_is_live_and_comes_back_after_it_was_switched_off(
    rtsp_camera: RtspCamera, watch: Callable[[Camera], Watching]
) -> None:
    before = counted("andon_source_reconnects_total")
    watching = watch(Camera(rtsp_camera.address, STATION, read_timeout_s=5, backoff=at_once()))
    first, second = watching.next(), watching.next()

    assert Image.open(io.BytesIO(first.image)).size == (320, 240)
    assert first.captured_at < second.captured_at
    assert first.image != second.image

    rtsp_camera.stop()
    wait_until(lambda: counted("andon_source_reconnects_total") > before)
    off_at = datetime.now(UTC)
    rtsp_camera.start()

    assert watching.next().captured_at > off_at


# Pure parts


def test_pictures_out_of_a_buffer_are_late_and_those_at_the_streams_pace_are_not() -> None:
    delay = LateFrameFilter()
    buffered = [delay.is_late(100 + 0.002 * number, 0.04 * number) for number in range(10)]
    live = [delay.is_late(100.4 + 0.04 * number, 0.4 + 0.04 * number) for number in range(10)]

    assert buffered == [True] * 10
    assert live[1:] == [False] * 9


def test_a_stream_that_falls_behind_is_late_until_it_caught_up() -> None:
    delay = LateFrameFilter()
    for number in range(10):
        delay.is_late(100 + 0.04 * number, 0.04 * number)

    assert delay.is_late(103.4, 0.4)
    assert not delay.is_late(103.5, 3.0)


def test_clocks_that_drift_apart_a_little_make_nothing_late() -> None:
    delay = LateFrameFilter()
    drift = 1.0002  # 17 seconds in a day

    late = [delay.is_late(second * drift, float(second)) for second in range(100_000)]

    assert late[0]
    assert not any(late[1:])


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:p%40ss@camera:554/stream?x=1", "rtsp://camera:554/stream?x=1"),
        ("rtsp://camera/stream", "rtsp://camera/stream"),
    ],
)
def test_credentials_stay_out_of_logs(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_what_ffmpeg_says_is_told_in_plain_words() -> None:
    assert describe_error(av.error.EOFError(-541478725, "End of file")) == "the stream ended"
    assert describe_error(av.error.ExitError(-1414092869, "Immediate exit requested")) == "nothing came in time"
    assert describe_error(av.error.DecoderNotFoundError(-1128613112, "x")) == "there is no decoder for its codec"
