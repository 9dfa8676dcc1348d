"""Waiting for a condition that another thread or process brings about."""

import threading
from collections.abc import Callable

TIMEOUT_S = 60.0
"""Long enough for a machine that is busy with other work."""


def wait_until(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Return once the condition holds; fail the test when it does not within `timeout_s`."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError(f"the condition did not hold within {timeout_s:g} s")
