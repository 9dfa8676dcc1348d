"""Framing where the network is: an accelerator resizes a batch of pictures sooner than a processor does one.

A picture then travels as it was decoded, and `pixel_batch` brings it to size beside the network. Centre crops are
resized
by Pillow as ever (the golden outputs pin it), and so are pictures with far more pixels than the frame shows, which
would wait for their batch in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch.nn import functional

from scorer.engines.devices import to_device
from scorer.imaging.framing import DeviceResize, Framed, Framing

RESIZING_DEVICES = ("cuda",)
"""Kinds of devices that resize by themselves."""


def resizes_on_device(device: torch.device) -> bool:
    """Whether pictures are brought to size on that device."""
    return device.type in RESIZING_DEVICES


def framing_identity(framing: Framing, device: torch.device) -> str:
    """What model ids hold of a framing: a device resizes in float32, a processor in whole numbers."""
    is_later = resizes_on_device(device) and framing.kind != "centre_crop"
    return f"{framing.identity} on {device.type}" if is_later else framing.identity


def pixel_batch(framed: Sequence[Framed], device: torch.device) -> torch.Tensor:
    """All tiles of all pictures, in order, as a network takes them: (tiles, 3, H, W), uint8, on the device."""
    places: dict[_Alike, list[int]] = {}
    for place, one in enumerate(framed):
        places.setdefault(_Alike(one.tiles.shape, one.later), []).append(place)
    parts = [_together([framed[place] for place in some], alike.later, device) for alike, some in places.items()]
    if len(parts) == 1:
        return parts[0]
    by_place = {
        place: tiles
        for some, part in zip(places.values(), parts, strict=True)
        for place, tiles in zip(some, part.chunk(len(some)), strict=True)
    }
    return torch.cat([by_place[place] for place in range(len(framed))])


@dataclass(frozen=True, slots=True)
class _Alike:
    """What pictures have in common that go to the device in one piece."""

    shape: tuple[int, ...]
    later: DeviceResize | None


def _together(framed: Sequence[Framed], later: DeviceResize | None, device: torch.device) -> torch.Tensor:
    joined = torch.from_numpy(np.concatenate([one.tiles for one in framed]))
    pixels = to_device(joined.permute(0, 3, 1, 2), device)  # (B, 3, H, W)
    return pixels if later is None else resize_on_device(pixels, later)


def resize_on_device(pictures: torch.Tensor, later: DeviceResize) -> torch.Tensor:
    """Pictures (B, 3, h, w), uint8, of one shape to what `Framing.prepare` makes of them on a processor.

    A value differs from that by a grey level or two at most.
    """
    height, width = later.size
    below, right = height - later.top - later.height, width - later.left - later.width
    across = _scaled(pictures.float(), (pictures.shape[2], later.width))
    scaled = _scaled(across, (later.height, later.width))
    whole = functional.pad(scaled, (later.left, right, later.top, below), mode="replicate")
    if later.shown is not None:
        whole = whole[:, :, later.shown.rows, later.shown.columns]
    tiles = rearrange(whole, "b rgb (r h) (c w) -> (b r c) rgb h w", r=later.tiles, c=later.tiles)
    return tiles.to(torch.uint8)


def _scaled(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """One way at a time and in whole numbers, as torch does it on a processor, for what overshoots is cut off there."""
    scaled = functional.interpolate(pictures, size, mode="bicubic", antialias=True)
    return scaled.round().clamp(0, 255)
