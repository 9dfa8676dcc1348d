"""A bound on bytes that threads hold at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """Lets at most `most` bytes be held; who asks for more than that alone gets it once nobody holds any."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Wait until so many bytes fit, and hold them; whoever holds some must not ask for more."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + size <= self._most)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()
