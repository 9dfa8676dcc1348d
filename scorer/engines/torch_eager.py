"""Torch in eager mode."""

import torch
from torch import nn

from scorer.engines.protocol import EngineOptions, Forward


class TorchEagerEngine:
    """Calls the network without compiling it."""

    def unavailable_reason(self, device: torch.device) -> str | None:
        """Return None: torch is always available."""
        return None

    def compile(
        self, network: nn.Module, example: torch.Tensor, options: EngineOptions, cell_px: int | None
    ) -> Forward:
        """Return the network's own forward pass, for any number of images; threads are torch's own setting."""

        @torch.inference_mode()
        def forward(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(output.float() for output in network(images))

        return forward
