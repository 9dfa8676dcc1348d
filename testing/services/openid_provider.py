"""A real OpenID provider on a free port, in its own process, with given users."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from testing.availability import skip_unavailable
from testing.ports import free_port

START_TIMEOUT_S = 60.0


@contextmanager
def running_openid_provider(people: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Run the provider and yield its address; each of `people` is the claims of a user who logs in by a click."""
    if find_spec("oidc_provider_mock") is None or find_spec("authlib") is None:
        skip_unavailable("oidc-provider-mock or Authlib is missing, pip install -e '.[dev,oidc]'")
    port = free_port()
    options = [argument for claims in people for argument in ("--user-claims", json.dumps(claims))]
    process = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the provider has ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the provider did not listen within {START_TIMEOUT_S:g} s")
