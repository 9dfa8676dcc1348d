"""What can be said about good images before a model sees them: bit depth, blank ones, twins, and the odd one out."""

from collections.abc import Sequence
from dataclasses import dataclass

from imaging.bit_depth import smallest_bit_depth
from imaging.contrast import describe_blank, is_blank
from imaging.decode import open_image
from imaging.errors import BadImage
from imaging.limits import ImageLimits
from imaging.similar_images import Fingerprint, fingerprint, near_duplicates, odd_ones


@dataclass(frozen=True, slots=True)
class Examined:
    """One image: its fingerprint, and its largest sample where its bit depth is learnt (`DecodedImage`)."""

    fingerprint: Fingerprint
    largest_sample: int | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a set of images.

    Attributes:
        bit_depth: Bits that the camera fills of samples in words of 16; 8 where none has such samples.
        has_deep_images: Whether any has, and the depth was learnt from them.
        twins: Pairs of names that show the same part in the same place.
        odd: Names of images unlike the others.
    """

    bit_depth: int
    has_deep_images: bool
    twins: tuple[tuple[str, str], ...]
    odd: tuple[str, ...]


def examine(data: bytes, limits: ImageLimits, bit_depth: int | None) -> Examined:
    """Decode one image at this depth; where it is None and the image's is not stated, its contrast is kept.

    Raises:
        BadImage: It can't be decoded, or is ``blank``.
    """
    opened = open_image(data, limits)
    decoded = opened.decode(bit_depth=bit_depth)
    if bit_depth is None and decoded.largest_sample is not None:
        decoded = open_image(data, limits).decode(bit_depth=smallest_bit_depth(decoded.largest_sample))
    if is_blank(decoded.pixels):
        raise BadImage("blank", describe_blank(decoded.pixels))
    return Examined(fingerprint(decoded.pixels), decoded.largest_sample)


def compare(
    images: Sequence[tuple[str, bytes]], examined: Sequence[Examined], limits: ImageLimits, bit_depth: int | None
) -> Findings:
    """Compare the images of a set with each other.

    Args:
        images: Name and encoded bytes of each.
        examined: Each as `examine` returned it.
        limits: The limits on images.
        bit_depth: The station's, or None where it is learnt from these images.
    """
    samples = [one.largest_sample for one in examined if one.largest_sample is not None]
    depth = bit_depth or smallest_bit_depth(max(samples, default=0))
    prints = {
        str(index): one.fingerprint
        if one.largest_sample is None or bit_depth is not None
        else fingerprint(open_image(data, limits).decode(bit_depth=depth).pixels)
        for index, ((_, data), one) in enumerate(zip(images, examined, strict=True))
    }
    names = [name for name, _ in images]
    return Findings(
        depth,
        bit_depth is None and bool(samples),
        tuple((names[int(first)], names[int(second)]) for first, second in near_duplicates(prints)),
        tuple(names[int(index)] for index in odd_ones(prints)),
    )
