"""The timer that measures a method's cost."""

import time
from collections.abc import Callable

from scorer.engines.devices import runs_single_threaded
from scorer.settings import Device

Timer = Callable[[], float]
"""Returns seconds since an arbitrary moment."""


def timer_for(device: Device) -> Timer:
    """Return the CPU time of this process where one thread does all the work, else wall time.

    CPU time does not count other load on the machine, but it would count every thread of an engine.
    """
    return time.process_time if runs_single_threaded(device) else time.perf_counter
