"""Keep Python's garbage collector from traversing loaded libraries and models while frames wait."""

import atexit
import gc
from functools import cache


@cache
def freeze_loaded_objects() -> None:
    """Collect garbage once, then exclude everything that exists now from later collections.

    Only the first call in a process does anything. A full collection stops every thread, for a third of a second with
    torch and its libraries loaded.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries look for leaks when the process ends
