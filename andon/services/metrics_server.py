"""HTTP server of a process: /metrics for Prometheus, /livez and /readyz for its supervisor; /healthz is /readyz."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from andon.errors import PortInUse
from foundation.masking import mask_secrets
from foundation.threads import background_thread

Health = Callable[[], list[str]]
"""Returns why the process can't work now, or does not live: one sentence per reason, an empty list when it does."""

log = structlog.get_logger()


class _MetricsServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry, liveness: Health) -> None:
        self.checks = {"/livez": liveness, "/readyz": health, "/healthz": health}
        self.registry = registry
        super().__init__((host, port), _RequestHandler)


class _RequestHandler(BaseHTTPRequestHandler):
    server: _MetricsServer
    server_version = "andon"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        """Respond to /metrics and the checks; any other path is not found."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._respond(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        elif path in self.server.checks:
            reasons = self.server.checks[path]()
            text = mask_secrets("\n".join(reasons)) if reasons else "ok"
            self._respond(503 if reasons else 200, "text/plain; charset=utf-8", f"{text}\n".encode())
        else:
            self._respond(
                404, "text/plain; charset=utf-8", b"Not found; this server has /metrics, /livez and /readyz.\n"
            )

    def _respond(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
        log.debug("http", line=format % args)


@contextmanager
def serve_metrics(
    host: str, port: int, health: Health, registry: CollectorRegistry = REGISTRY, *, liveness: Health = list
) -> Iterator[int]:
    """Serve /metrics, /livez and /readyz for as long as the block lasts, and give the port.

    Args:
        host: The address to listen on.
        port: The TCP port; 0 serves nothing and gives 0.
        health: Why the process can't work now, for /readyz; called from the server's threads.
        registry: The metrics to serve.
        liveness: Why only a restart helps, for /livez; without one, a process that answers lives.

    Raises:
        PortInUse: The port can't be listened on.
    """
    if port == 0:
        yield 0
        return
    try:
        server = _MetricsServer(host, port, health, registry, liveness)
    except OSError as error:
        raise PortInUse(
            f"Can't serve /metrics on {host}:{port} ({error.strerror}); choose another port with --metrics-port or "
            "ANDON_ANDON__METRICS_PORT, or 0 for none."
        ) from None
    with (
        server,
        background_thread(lambda _: server.serve_forever(), "metrics", on_stop=server.shutdown, join_timeout_s=5),
    ):
        yield server.server_address[1]
