"""On what a figure was measured, in words."""

import os

import torch

from scorer.engines.devices import processor_name, usable_cores


def describe_machine() -> str:
    """Processor, usable cores, what it has for bf16, an accelerator if there is one, and how busy it was."""
    told = [processor_name(), f"{usable_cores()} cores", f"load {os.getloadavg()[0]:.1f}", f"torch {torch.__version__}"]
    if torch.cuda.is_available():
        told.append(torch.cuda.get_device_name())
    return ", ".join(told)
