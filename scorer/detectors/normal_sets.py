"""Requirements of every detector on a normal set, checked before it computes references."""

from collections.abc import Sequence
from hashlib import sha256

from imaging.rgb import RgbImage
from scorer.errors import InvalidNormalSet
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES


def require_normal_count(detector: str, count: int) -> None:
    """Raise `InvalidNormalSet` unless there are 2 to 64 normal images."""
    if not MIN_IMAGES <= count <= MAX_IMAGES:
        raise InvalidNormalSet(
            f"The detector {detector} compares with {MIN_IMAGES} to {MAX_IMAGES} normal images; this set has {count}."
        )


def content_digest(image: RgbImage) -> bytes:
    """Return a hash of the pixels, by which normal images are ordered."""
    return sha256(image.tobytes()).digest()


def order_by_content(normals: Sequence[RgbImage]) -> list[int]:
    """Return the positions of the images sorted by their content, so that their own order does not matter."""
    digests = [content_digest(image) for image in normals]
    return sorted(range(len(normals)), key=digests.__getitem__)


def in_original_order(order: Sequence[int], scores: Sequence[float]) -> tuple[float, ...]:
    """Return scores of images that were sorted by `order` in the images' own order."""
    by_position = dict(zip(order, scores, strict=True))
    return tuple(by_position[position] for position in range(len(order)))
