"""When a file is complete: unchanged for a while, and no part of it still to be written (docs/adr/0009)."""

import hashlib
from collections import Counter
from dataclasses import dataclass

from ingest.sources.folder.processed_files import FileVersion

UNWRITTEN_PATIENCE_S = 10.0
"""How long a file that may lack a part must not change before it is taken as it is."""

LEARNT_AFTER = 3  # so many files of one suffix in a row that had zeros and were complete after all

_UNWRITTEN_START, _UNWRITTEN_END, _UNWRITTEN_BLOCK = bytes(16), bytes(64), bytes(4096)


@dataclass(slots=True)
class SettlingFile:
    """A file that is not read yet; times are on the source's monotonic clock, in seconds.

    `digest` and `held_since_s` are those of content that may lack a part.
    """

    version: FileVersion
    due_s: float
    first_seen_s: float
    is_reported: bool = False
    digest: bytes | None = None
    held_since_s: float = 0.0


class UnwrittenParts:
    """Holds files back whose content may lack a part, because a program reserved their whole size before it wrote them.

    Zeros in an uncompressed image may also be black pixels. Once some files of a suffix did not change while they were
    held, that suffix is no longer held; one that did change brings the caution back.
    """

    def __init__(self) -> None:
        """Start with caution for every suffix."""
        self._complete_in_a_row: Counter[str] = Counter()

    def holds(self, settling: SettlingFile, image: bytes, now_s: float) -> bool:
        """Return whether to read the file again later; `image` is its content now."""
        suffix = settling.version.path.suffix.lower()
        if settling.digest is not None and settling.digest != content_digest(image):
            self._complete_in_a_row[suffix] = 0
        if not may_lack_a_part(image) or self._complete_in_a_row[suffix] >= LEARNT_AFTER:
            return False
        digest = content_digest(image)
        if settling.digest != digest:
            settling.digest, settling.held_since_s = digest, now_s
        if now_s - settling.held_since_s < UNWRITTEN_PATIENCE_S:
            return True
        self._complete_in_a_row[suffix] += 1
        return False


def may_lack_a_part(image: bytes) -> bool:
    """Return whether a file begins, ends or is filled in part with zeros, as space does that is reserved only."""
    if not image:
        return False
    return image.startswith(_UNWRITTEN_START) or image.endswith(_UNWRITTEN_END) or _UNWRITTEN_BLOCK in image


def content_digest(image: bytes) -> bytes:
    """Return a digest of 16 bytes of a file's content."""
    return hashlib.blake2b(image, digest_size=16).digest()
