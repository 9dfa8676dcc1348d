"""Which precision a network runs in, chosen from what the processor has: bf16 without its instructions crawls."""

from typing import Literal

import torch

from scorer.engines.measurements import EngineName

Precision = Literal["auto", "fp32", "bf16"]


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """`auto` is bf16 on a GPU that has it and on a processor with avx512_bf16 or amx_bf16, else fp32."""
    if precision == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def rounding(dtype: torch.dtype, engine: EngineName) -> dict[str, float]:
    """What a model id holds of precision: in fp32 engines agree, in bf16 each rounds at places of its own.

    CUDA graphs are torch's own kernels.
    """
    if dtype != torch.bfloat16:
        return {"bf16": 0.0}
    return {"bf16": 1.0} if engine in ("torch", "cuda-graphs") else {"bf16": 1.0, f"by {engine}": 1.0}


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 matrix products have instructions of their own here; without them bf16 is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
