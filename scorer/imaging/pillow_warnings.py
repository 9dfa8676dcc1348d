"""Pillow warns about odd metadata in frames that decode well; on a line those warnings would never end."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside = 0
_catching: ExitStack | None = None


@contextmanager
def suppress_pillow_warnings() -> Iterator[None]:
    """Hold Pillow's warnings back while any thread is inside.

    `warnings.catch_warnings` alone is not safe with threads: the first one in sets the filter, the last one out
    takes it away.
    """
    global _inside, _catching
    with _lock:
        if _inside == 0:
            _catching = ExitStack()
            _catching.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _catching is not None:
                _catching.close()
                _catching = None
