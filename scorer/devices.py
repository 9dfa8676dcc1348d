"""Where the model runs."""

import os

import torch

from scorer.errors import ModelUnavailable
from scorer.settings import Device


def usable_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def score_threads(wanted: Device) -> int:
    """Model calls side by side: one a core on a processor, one in all on an accelerator, which is busy with one.

    Two calls of one thread each do more than one of two threads, which wait for each other, spinning, at every layer.
    """
    return usable_cores() if device_of(wanted).type == "cpu" else 1


def device_of(wanted: Device) -> torch.device:
    """The device of that name, the best there is for ``auto``; raises `ModelUnavailable` for one that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available[wanted]:
        raise ModelUnavailable(
            f"scorer.device is {wanted}, and torch sees no such device here; set it to auto or cpu, or mend the driver."
        )
    return torch.device(wanted)
