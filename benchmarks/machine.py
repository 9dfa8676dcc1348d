"""On what a figure was measured, in words."""

import os
import platform
from pathlib import Path

import torch

from scorer.devices import usable_cores


def machine() -> str:
    """Processor, usable cores, what it has for bf16, an accelerator if there is one, and how busy it was."""
    told = [_processor(), f"{usable_cores()} cores", f"load {os.getloadavg()[0]:.1f}", f"torch {torch.__version__}"]
    if torch.cuda.is_available():
        told.append(torch.cuda.get_device_name())
    return ", ".join(told)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor() or platform.machine()
    lines = information.read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = "avx512_bf16" if "avx512_bf16" in flags else "avx512" if "avx512f" in flags else "avx2"
    return f"{names[0] if names else platform.machine()} ({wide})"
