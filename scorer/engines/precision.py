"""The precision that a network runs in; bf16 is slow where the processor has no instructions for it."""

from typing import Literal

import torch

from scorer.engines.measurements import EngineName

Precision = Literal["auto", "fp32", "bf16"]


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type for a precision; ``auto`` is bf16 where `has_fast_bf16`, else fp32."""
    if precision == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def rounding(dtype: torch.dtype, engine: EngineName) -> dict[str, float]:
    """Return the part of a model id for the precision: engines agree in fp32, and each rounds in its own way in bf16.

    CUDA graphs run torch's own kernels.
    """
    if dtype != torch.bfloat16:
        return {"bf16": 0.0}
    return {"bf16": 1.0} if engine in ("torch", "cuda-graphs") else {"bf16": 1.0, f"by {engine}": 1.0}


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the device has instructions for bf16 matrix products; without them bf16 is slower than fp32.

    A processor needs avx512_bf16 or amx_bf16.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
