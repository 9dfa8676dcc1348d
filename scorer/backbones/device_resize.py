"""Resize images on the accelerator: it resizes a batch faster than a CPU resizes one image.

An image then travels at the size at which it was decoded, and is resized as part of its batch. Centre crops are always
resized by Pillow (the golden outputs pin its values), and so are images with far more pixels than the frame shows,
which would fill memory while they wait for their batch.
"""

import torch
from einops import rearrange
from torch.nn import functional

from imaging.rgb import RgbImage
from scorer.imaging.framing import DeviceResize, Framing

RESIZING_DEVICES = ("cuda",)
"""Types of devices that resize images themselves."""

MAX_PIXEL_RATIO = 4
"""An image with more than this multiple of the frame's pixels is resized on the processor at once."""


def resizes_on_device(device: torch.device) -> bool:
    """Return whether images are resized on that device rather than by the processor."""
    return device.type in RESIZING_DEVICES


def framing_identity(framing: Framing, device: torch.device) -> str:
    """Return the part of a model id for a framing; devices resize in float32, processors in integers."""
    on_device = resizes_on_device(device) and framing.kind != "centre_crop"
    return f"{framing.identity} on {device.type}" if on_device else framing.identity


def can_resize_later(framing: Framing, image: RgbImage, frame_size: tuple[int, int]) -> bool:
    """Return whether an image may wait for its batch at its decoded size."""
    fits = image.size <= MAX_PIXEL_RATIO * 3 * frame_size[0] * frame_size[1]
    return framing.kind != "centre_crop" and fits


def resize_on_device(images: torch.Tensor, resize: DeviceResize) -> torch.Tensor:
    """Resize images of one shape, (B, 3, h, w) uint8, to tiles (B · T, 3, H, W) uint8.

    Values differ from those of `Preprocessor.prepare` on a processor by a grey level or two at most.
    """
    height, width = resize.size
    below, right = height - resize.top - resize.height, width - resize.left - resize.width
    across = _interpolate(images.float(), (images.shape[2], resize.width))  # (B, 3, h, W)
    scaled = _interpolate(across, (resize.height, resize.width))
    padded = functional.pad(scaled, (resize.left, right, resize.top, below), mode="replicate")
    if resize.shown is not None:
        padded = padded[:, :, resize.shown.rows, resize.shown.columns]
    tiles = rearrange(padded, "b rgb (r h) (c w) -> (b r c) rgb h w", r=resize.tiles, c=resize.tiles)
    return tiles.to(torch.uint8)


def _interpolate(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize along one axis and round, as torch does on a processor, which clips overshoot between the two axes."""
    scaled = functional.interpolate(images, size, mode="bicubic", antialias=True)
    return scaled.round().clamp(0, 255)
