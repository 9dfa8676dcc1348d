"""A live camera for tests, which sends Motion JPEG over HTTP, and a reader with time limits."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.sources.video.camera import Camera


class MjpegCamera:
    """A small HTTP camera that sends the items of `images`; None closes the connection, and `status` can refuse it."""

    def __init__(self) -> None:
        self.images: queue.Queue[bytes | None] = queue.Queue()
        self.status = 200
        self.content_type = "multipart/x-mixed-replace; boundary=frame"
        self.part_type = "image/jpeg"
        self.has_first_delimiter = True
        self.has_length = True
        self.connections = 0
        self.realm: str | None = None
        self.authorization: str | None = None
        self.stopped = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.connections += 1
                camera.authorization = self.headers["Authorization"]
                if camera.realm and not camera.authorization:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", f'Basic realm="{camera.realm}"')
                    self.end_headers()
                    return
                self.send_response(camera.status)
                self.send_header("Content-Type", camera.content_type)
                self.end_headers()
                if camera.has_first_delimiter:
                    self.wfile.write(b"--frame\r\n")
                while camera.status == 200 and not camera.stopped.is_set():
                    try:
                        image = camera.images.get(timeout=0.05)
                    except queue.Empty:
                        continue
                    if image is None:
                        return
                    try:
                        self.wfile.write(camera.part(image))
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def part(self, image: bytes) -> bytes:
        """Return a part with the delimiter after it."""
        length = f"Content-Length: {len(image)}\r\n" if self.has_length else ""
        return f"Content-Type: {self.part_type}\r\n{length}\r\n".encode() + image + b"\r\n--frame\r\n"

    @property
    def address(self) -> str:
        return f"http://user:s3cret@127.0.0.1:{self._server.server_port}/video"

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def mjpeg_camera() -> Iterator[MjpegCamera]:
    """A running camera."""
    camera = MjpegCamera()
    yield camera
    camera.close()


class CameraReader:
    """Reads a camera in a thread of its own, so that a test can limit how long it waits."""

    def __init__(self, camera: Camera) -> None:
        self.stop = threading.Event()
        self._requests = threading.Semaphore(0)
        self._results: queue.Queue[Frame | Exception] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(camera,))
        self._thread.start()

    def _read(self, camera: Camera) -> None:
        try:
            with closing(camera.frames(self.stop)) as frames:
                while self._requests.acquire() and not self.stop.is_set():
                    self._results.put(next(frames))
        except (SourceError, StopIteration) as error:
            self._results.put(error)

    def request_frame(self) -> None:
        self._requests.release()

    def next(self) -> Frame:
        self.request_frame()
        result = self._results.get(timeout=60)
        if isinstance(result, Exception):
            raise result
        return result

    def receives_nothing_for(self, seconds: float) -> bool:
        self.request_frame()
        try:
            self._results.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        self.stop.set()
        self._requests.release()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def read_camera() -> Iterator[Callable[[Camera], CameraReader]]:
    """Start to read a camera; readers are closed after the test."""
    readers: list[CameraReader] = []

    def start(camera: Camera) -> CameraReader:
        readers.append(CameraReader(camera))
        return readers[-1]

    yield start
    for reader in readers:
        reader.close()
