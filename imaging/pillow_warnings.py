"""Suppress Pillow's warnings about odd metadata in frames that decode well; on a line they would never end."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_active = 0
_filter: ExitStack | None = None


@contextmanager
def suppress_pillow_warnings() -> Iterator[None]:
    """Suppress Pillow's warnings while any thread is inside such a block.

    `warnings.catch_warnings` alone is not thread-safe: here the first thread to enter sets the filter, and the last to
    leave removes it.
    """
    global _active, _filter
    with _lock:
        if _active == 0:
            _filter = ExitStack()
            _filter.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        _active += 1
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if _active == 0 and _filter is not None:
                _filter.close()
                _filter = None
