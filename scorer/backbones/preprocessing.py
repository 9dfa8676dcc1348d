"""From a decoded image to the pixels of one network, and which of the network's cells show the image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange

from imaging.rgb import RgbImage
from imaging.rotation import rotate
from scorer.backbones.device_resize import can_resize_later, framing_identity, resize_on_device, resizes_on_device
from scorer.backbones.image_resize import frame_image
from scorer.engines.devices import to_device
from scorer.imaging.framing import DeviceResize, Framed, Framing
from scorer.imaging.masking import ignored_after_rotation, inspected_cells, without_ignored
from storage.areas.masks import Mask


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """One station's framing for one network, so that a model and its preprocessing cannot drift apart.

    Attributes:
        framing: How images of any shape meet the network's one shape.
        size: Height and width, in pixels, of the images that the network takes.
        grid: Rows and columns of the network's patches.
        device: Where the network runs.
        crop_padding: Whether the network also takes images of fewer cells and is spared a letterbox's padding.
        mask: What of the station's pictures is not inspected; None to inspect everything.
    """

    framing: Framing
    size: tuple[int, int]
    grid: tuple[int, int]
    device: torch.device
    crop_padding: bool = False
    mask: Mask | None = None

    @property
    def identity(self) -> str:
        """The part of a model id for the preprocessing."""
        return framing_identity(self.framing, self.device)

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width, in pixels, above which more pixels hardly change a score."""
        return self.framing.target_size(height, width, self.size)

    def prepare(self, image: RgbImage, degrees: int = 0) -> Framed:
        """Frame an image, cut into tiles where the framing says so; safe from any thread.

        Where the device resizes images, the result holds the image as decoded and how to resize it.

        Args:
            image: The picture, (height, width, 3).
            degrees: By how much to rotate it, with what the mask ignores, as `imaging.rotation.rotate` does.
        """
        ignored = None if self.mask is None else self.mask.ignored_pixels(*image.shape[:2])
        if ignored is not None:
            image = without_ignored(image, ignored)
            ignored = ignored_after_rotation(ignored, degrees)
        image = rotate(image, degrees)
        tiles = self.framing.tiles
        frame_size = self.size[0] * tiles, self.size[1] * tiles
        frame_grid = self.grid[0] * tiles, self.grid[1] * tiles
        height, width, _ = image.shape
        cells = self.framing.valid_mask(height, width, frame_size, frame_grid)
        if ignored is not None:
            cells = cells & inspected_cells(ignored, self.framing, frame_size, frame_grid)
        is_cropped = self.crop_padding and self.framing.has_padding
        box = self.framing.cell_box(height, width, frame_size, frame_grid) if is_cropped else None
        shown = box.of_pixels(self.size[0] // self.grid[0], self.size[1] // self.grid[1]) if box else None
        if resizes_on_device(self.device) and can_resize_later(self.framing, image, frame_size):
            placement = self.framing.placement(height, width, frame_size)
            return Framed(image[None], cells, height, width, box, DeviceResize(frame_size, *placement, tiles, shown))
        framed = frame_image(self.framing, image, frame_size)
        if shown is not None:
            return Framed(framed[None, shown.rows, shown.columns], cells, height, width, box)
        cut = rearrange(framed, "(r h) (c w) rgb -> (r c) h w rgb", r=tiles, c=tiles)
        return Framed(cut, cells, height, width)

    def pixels(self, framed: Sequence[Framed]) -> torch.Tensor:
        """Return all tiles of all images, in order: (tiles, 3, H, W) uint8 on the device.

        All images must show a box of the same shape.
        """
        return pixel_batch(framed, self.device)

    def valid_mask(self, framed: Sequence[Framed]) -> torch.Tensor:
        """Return which cells show the image and not padding: (B, P) bool on the device, row by row."""
        cells = torch.from_numpy(np.stack([image.cells for image in framed]))
        return cells.flatten(1).to(self.device)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The properties that images must share to travel to the device together."""

    shape: tuple[int, ...]
    resize: DeviceResize | None


def pixel_batch(framed: Sequence[Framed], device: torch.device) -> torch.Tensor:
    """Return all tiles of all images, in order, resized where that is still to do: (tiles, 3, H, W) uint8."""
    positions: dict[_Layout, list[int]] = {}
    for position, image in enumerate(framed):
        positions.setdefault(_Layout(image.tiles.shape, image.later), []).append(position)
    batches = [
        _to_pixels([framed[position] for position in group], layout.resize, device)
        for layout, group in positions.items()
    ]
    if len(batches) == 1:
        return batches[0]
    by_position = {
        position: tiles
        for group, batch in zip(positions.values(), batches, strict=True)
        for position, tiles in zip(group, batch.chunk(len(group)), strict=True)
    }
    return torch.cat([by_position[position] for position in range(len(framed))])


def _to_pixels(framed: Sequence[Framed], resize: DeviceResize | None, device: torch.device) -> torch.Tensor:
    """Move images of one layout to the device together: (tiles, 3, H, W) uint8."""
    tiles = torch.from_numpy(np.concatenate([image.tiles for image in framed]))  # (tiles, H, W, 3)
    pixels = to_device(tiles.permute(0, 3, 1, 2), device)
    return pixels if resize is None else resize_on_device(pixels, resize)
