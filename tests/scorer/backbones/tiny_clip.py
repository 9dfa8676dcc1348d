"""A CLIP of a few thousand parameters with random weights, oblong on purpose, and random heads for it."""

from typing import Any

import torch

from imaging.rgb import RgbImage
from scorer.backbones.clip_architecture import Architecture, build_network
from scorer.backbones.openclip import OpenClip
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.detectors.inctrl.model import InCtrlModel

CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": [24, 32], "layers": 4, "width": 24, "head_width": 12, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
BLOCKS = (1, 3, 4)
PATCHES = 12


def tiny_architecture() -> Architecture:
    return Architecture("tiny", CONFIG)


def tiny_backbone(seed: int = 0) -> OpenClip:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(tiny_architecture())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return OpenClip(network, tiny_architecture(), torch.device("cpu"), "fp32")


def tiny_heads(width: int = 16, patches: int = PATCHES, seed: int = 1) -> InCtrlHeads:
    """Return heads whose batch normalisation looks trained: its means and variances are random too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        heads = InCtrlHeads(width, patches)
        for name, buffer in heads.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return heads.eval()


def tiny_inctrl() -> InCtrlModel:
    return InCtrlModel(tiny_backbone(), tiny_heads(), BLOCKS, contents="tiny", heads_sha256="of the heads")


def tiny_pixels(count: int, seed: int, size: tuple[int, int] = (24, 32)) -> torch.Tensor:
    seeded = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=seeded)


def tiny_images(count: int, seed: int, size: tuple[int, int] = (24, 32)) -> list[RgbImage]:
    """Return the images of `tiny_pixels`, each (height, width, 3)."""
    return list(tiny_pixels(count, seed, size).permute(0, 2, 3, 1).numpy())
