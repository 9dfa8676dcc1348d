"""A description of the machine that results are from."""

import os

import torch

from scorer.engines.devices import processor_name, usable_cores


def describe_machine() -> str:
    """Return processor, usable cores, load, torch version and, if one exists, the accelerator."""
    parts = [
        processor_name(),
        f"{usable_cores()} cores",
        f"load {os.getloadavg()[0]:.1f}",
        f"torch {torch.__version__}",
    ]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)
