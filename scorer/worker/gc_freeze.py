"""Python's garbage collector, kept from going through the libraries again and again while frames wait."""

import atexit
import gc
from functools import cache


@cache
def freeze_loaded_objects() -> None:
    """Collect once, then leave out for good what is there: libraries and models; only the first call does anything.

    A collection of everything stops all threads, for a third of a second with torch and its libraries loaded.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries look for leaks when the process ends
