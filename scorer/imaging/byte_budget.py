"""A bound on the bytes that threads hold at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """Limits what threads hold together to `limit_bytes`; a larger piece is admitted while none is held."""

    def __init__(self, limit_bytes: int) -> None:
        """Start with nothing held."""
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, size_bytes: int) -> Iterator[None]:
        """Wait until this many bytes fit, and hold them for the block; a thread must not reserve twice at once."""
        with self._changed:
            self._changed.wait_for(lambda: self._held_bytes == 0 or self._held_bytes + size_bytes <= self._limit_bytes)
            self._held_bytes += size_bytes
        try:
            yield
        finally:
            with self._changed:
                self._held_bytes -= size_bytes
                self._changed.notify_all()
