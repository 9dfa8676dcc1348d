"""Torch as it is."""

import torch
from torch import nn

from scorer.engines.protocol import EngineOptions, Forward


class TorchEagerEngine:
    """Calls the network."""

    def missing(self, device: torch.device) -> str | None:
        """Torch is always there."""
        return None

    def compile(self, network: nn.Module, example: torch.Tensor, calls: EngineOptions, cell_px: int | None) -> Forward:
        """Any number of pictures at once; threads are torch's own setting."""

        @torch.inference_mode()
        def encode(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(one.float() for one in network(pictures))

        return encode
