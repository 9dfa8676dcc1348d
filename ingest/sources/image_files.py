"""Files that hold an image, as told by their name; what is really in them is the scorer's business."""

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
"""Content type by file name ending, in lower case."""


def display_path(path: Path) -> str:
    """The path as text with slashes, fit for a header and a log; bytes that are no UTF-8 appear escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
