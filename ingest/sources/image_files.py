"""Image files by their name; the scorer decodes their actual content."""

import os
from collections.abc import Mapping
from pathlib import Path

CONTENT_TYPES: Mapping[str, str] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
}
"""Content type by file name suffix, in lower case."""


def display_path(path: Path) -> str:
    """Return a path as text with slashes, fit for headers and logs; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
