"""Graceful stop: the first SIGINT or SIGTERM lets the command finish, the second ends it at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(finish: str) -> Iterator[threading.Event]:
    """Give an event that the first signal sets, for as long as the block lasts.

    Args:
        finish: What the command still does after the signal, for the message, such as ``finishing the batch``.
    """
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        os.write(
            sys.__stderr__.fileno() if sys.__stderr__ else 2, f"Stopping: {finish}.\n".encode()
        )  # no buffer to re-enter

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
