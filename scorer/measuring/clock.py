"""Which clock tells what a method costs."""

import time
from collections.abc import Callable

import torch

Clock = Callable[[], float]
"""Seconds since some moment."""


def clock_for(device: torch.device) -> Clock:
    """The thread's own time where it does all the work, so that another process's load isn't counted; else wall time.

    Torch computes on the calling thread when it may use one thread on a processor.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time.perf_counter
