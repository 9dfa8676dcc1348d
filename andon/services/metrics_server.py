"""/metrics for Prometheus and /healthz for whoever restarts processes, on one small port."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from andon.errors import PortInUse
from foundation.threads import background_thread

Health = Callable[[], list[str]]
"""Why the process is not well, one sentence a reason; an empty list says that it is."""

log = structlog.get_logger()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        self.health = health
        self.registry = registry
        super().__init__((host, port), _Answers)


class _Answers(BaseHTTPRequestHandler):
    server: _Listener
    server_version = "andon"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        """Answer /metrics and /healthz, and name them to whoever asks for something else."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        elif path == "/healthz":
            reasons = self.server.health()
            text = "\n".join(reasons) if reasons else "ok"
            self._answer(503 if reasons else 200, "text/plain; charset=utf-8", f"{text}\n".encode())
        else:
            self._answer(404, "text/plain; charset=utf-8", b"There are /metrics and /healthz here.\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parent's name for it)
        log.debug("http", line=format % args)


@contextmanager
def serve_metrics(host: str, port: int, health: Health, registry: CollectorRegistry = REGISTRY) -> Iterator[int]:
    """Serve /metrics and /healthz while inside, and give the port; port 0 serves nothing and gives 0.

    `health` is called from the server's threads. Raises `PortInUse`.
    """
    if port == 0:
        yield 0
        return
    try:
        listener = _Listener(host, port, health, registry)
    except OSError as error:
        raise PortInUse(
            f"/metrics can't be served on {host}:{port} ({error.strerror}); "
            "choose another with --metrics-port or ANDON_ANDON__METRICS_PORT, or 0 for none."
        ) from None
    with (
        listener,
        background_thread(lambda _: listener.serve_forever(), "metrics", on_stop=listener.shutdown, join_timeout_s=5),
    ):
        yield listener.server_address[1]
