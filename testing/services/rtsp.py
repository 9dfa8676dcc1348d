"""A real RTSP camera that a test can stop and bring back."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.availability import skip_unavailable
from testing.ports import free_port

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's bindings of GStreamer belong to it
SERVER = Path(__file__).with_name("rtsp_server.py")
NEEDS = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "assert all(Gst.ElementFactory.find(name) for name in ('videotestsrc', 'x264enc', 'rtph264pay'))"
)


class RtspCamera:
    """One camera at one address, in its own process; off until `start`."""

    def __init__(self) -> None:
        """Choose a free port."""
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Return the address, whether the camera is on or off."""
        return f"rtsp://127.0.0.1:{self._port}/camera"

    def start(self) -> None:
        """Switch it on, and wait until it listens."""
        self._process = subprocess.Popen([SYSTEM_PYTHON, SERVER, str(self._port)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def stop(self) -> None:
        """Kill its process; safe when it is off."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


@pytest.fixture
def rtsp_camera() -> Iterator[RtspCamera]:
    """Run a camera for this test."""
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run([SYSTEM_PYTHON, "-c", NEEDS], capture_output=True).returncode:
        skip_unavailable(
            "no RTSP server: Debian's python3-gi, gir1.2-gst-rtsp-server-1.0 and GStreamer plugins are missing"
        )
    camera = RtspCamera()
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()
