"""The random sample: which passed frames are reviewed whatever their score, so that escapes can be estimated.

Whether a frame is in the sample follows from its id alone: anybody can check it, a frame that is recorded twice is
sampled twice or never, and a sample contains every smaller sample.
"""

from hashlib import blake2b
from uuid import UUID

_HASH_RANGE = 2**64


def is_sampled(frame_id: UUID, one_in: int) -> bool:
    """Return whether the frame belongs to a sample of one in `one_in` frames; no frame does at 0, every one at 1."""
    frame_hash = int.from_bytes(blake2b(frame_id.bytes, digest_size=8).digest())
    return one_in > 0 and frame_hash * one_in < _HASH_RANGE
