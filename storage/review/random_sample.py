"""The random sample: which passed frames a person looks at whatever they look like, so that escapes can be estimated.

Whether a frame is drawn follows from its id alone: anybody can check it, a frame recorded twice is drawn twice or
never, and what is drawn at one share is drawn at every greater one, too.
"""

from hashlib import blake2b
from uuid import UUID

_PLACES = 2**64


def is_sampled(frame_id: UUID, one_in: int) -> bool:
    """Whether the frame is among one in `one_in` frames; nothing is drawn at 0, everything at 1."""
    place = int.from_bytes(blake2b(frame_id.bytes, digest_size=8).digest())
    return one_in > 0 and place * one_in < _PLACES
