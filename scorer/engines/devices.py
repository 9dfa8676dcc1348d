"""The device that a model runs on, its memory and its cores."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from scorer.errors import ModelUnavailable
from scorer.settings import Device

CONTAINER_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
UNKNOWN_MEMORY_BYTES = 4 * 1024**3


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_torch_threads(count: int) -> None:
    """Set how many threads one torch operation may use on the CPU, in the whole process."""
    torch.set_num_threads(count)


def torch_threads() -> int:
    """Return how many threads one torch operation may use on the CPU."""
    return torch.get_num_threads()


def runs_single_threaded(device: Device) -> bool:
    """Return whether torch computes on the calling thread alone: on the CPU, with one thread per operation.

    An engine other than torch has threads of its own.
    """
    return resolve_device(device).type == "cpu" and torch_threads() == 1


def processor_name() -> str:
    """Return the processor's name, with the widest arithmetic that it has for networks."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor() or platform.machine()
    lines = information.read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in flags), "no avx2")
    return f"{names[0] if names else platform.machine()} ({widest})"


def to_device(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the pixels on the device; to a GPU they go from pinned memory, so that the copy is asynchronous."""
    if pixels.device.type == device.type:
        return pixels
    return pixels.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else pixels.to(device)


def memory_bytes(device: torch.device, limits: Sequence[Path] = CONTAINER_MEMORY_LIMITS) -> int:
    """Return the memory of the device in bytes; a processor's is that of its container where that is less."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    if not hasattr(os, "sysconf"):
        return UNKNOWN_MEMORY_BYTES
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = (path.read_text(encoding="ascii").strip() for path in limits if path.is_file())
    return min([installed, *(int(text) for text in texts if text.isdigit())])


def default_score_threads(device: Device) -> int:
    """Return how many model calls run in parallel: one per core on a processor, one on an accelerator.

    Two calls of one thread each do more than one call of two threads, which spin at every layer to wait for each other.
    """
    return usable_cores() if resolve_device(device).type == "cpu" else 1


def resolve_device(device: Device) -> torch.device:
    """Return the device of that name, the best one for ``auto``; raises `ModelUnavailable` for a missing one."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, is_available in available.items() if is_available))
    if not available[device]:
        raise ModelUnavailable(
            f"scorer.device is {device}, and torch finds no such device; set it to auto or cpu, or repair the driver."
        )
    return torch.device(device)
