"""Samples of more than 8 bits as a file holds them, and their way to RGB."""

from dataclasses import dataclass

import numpy as np

from imaging.bit_depth import SampleArray, require_within, to_eight_bits
from imaging.rgb import RgbImage
from imaging.transparency import opaque


@dataclass(frozen=True, slots=True)
class DeepSamples:
    """The samples of an image whose words have 16 bits.

    Attributes:
        values: (height, width, channels) uint16: grey, grey and alpha, RGB, or RGB and alpha.
        declared_depth: Bits that the file says are used; None where it only says that its words have 16.
        is_inverted: Whether 0 is white.
        is_premultiplied: Whether the colours are multiplied by alpha.
        transparent: The one colour that is transparent, a value per channel, or None.
    """

    values: SampleArray
    declared_depth: int | None = None
    is_inverted: bool = False
    is_premultiplied: bool = False
    transparent: tuple[int, ...] | None = None

    @property
    def largest(self) -> int:
        """The largest sample of a colour; alpha is none."""
        return int(self.colours.max())

    @property
    def colours(self) -> SampleArray:
        """The samples without alpha, (height, width, 1 or 3)."""
        return self.values[..., : 1 if self.values.shape[2] <= 2 else 3]

    def rgb(self, bit_depth: int | None) -> RgbImage:
        """Return the image in 8 bits per channel.

        Args:
            bit_depth: Bits that are used where the file does not declare them, 8 to 16; None for all 16.

        Raises:
            BadImage: ``exceeds-bit-depth``: a sample needs more bits.
        """
        depth = self.declared_depth or bit_depth or 16
        require_within(self.largest, depth)
        pixels = to_eight_bits(self.values, depth)
        count = self.colours.shape[2]
        if self.is_inverted:
            pixels[..., :count] = 255 - pixels[..., :count]
        if self.transparent is not None and len(self.transparent) == count == self.values.shape[2]:
            is_shown = (self.values != np.array(self.transparent)).any(axis=2, keepdims=True)
            pixels = np.concatenate([pixels, is_shown.astype(np.uint8) * np.uint8(255)], axis=2)
        return opaque(pixels, is_premultiplied=self.is_premultiplied)
