"""Which clock tells what a method costs."""

import time
from collections.abc import Callable

import torch

Timer = Callable[[], float]
"""Seconds since some moment."""


def timer_for(device: torch.device) -> Timer:
    """The process's own time where one core does the work, so that load isn't counted; else wall time.

    Torch computes on the calling thread when it may use one thread on a processor; an engine has threads of its own.
    """
    is_one_core = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if is_one_core else time.perf_counter
