"""Fit a frame's texts to their limits: metadata that is too long or can't be stored never costs the picture."""

import hashlib

DIGEST_BYTES = 6


def fit(text: str, limit: int) -> str:
    """Return `text` as it can be stored: at most `limit` characters, without NUL characters and lone surrogates.

    A text that had to be changed ends or is cut in the middle with an ellipsis and a digest of the whole text, such as
    ``Los-1/Los-1…3f9ac1d07b52…part-0001.png``: it is seen to be changed, and two that differed still differ.

    Args:
        text: Any text.
        limit: In characters, at least 20.
    """
    storable = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if storable == text:
        return text if len(text) <= limit else _shorten(text, text.encode(), limit)
    return _mark(storable, text.encode("utf-8", "surrogatepass"), limit)


def fit_bytes(raw: bytes, limit: int) -> str:
    """Return the text of a header as `fit` does; bytes that are not UTF-8 are escaped, as ``\\xff``."""
    try:
        return fit(raw.decode("utf-8"), limit)
    except UnicodeDecodeError:
        return _mark(raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00"), raw, limit)


def _mark(repaired: str, original: bytes, limit: int) -> str:
    marked = f"{repaired}…{_digest(original)}"
    return marked if len(marked) <= limit else _shorten(repaired, original, limit)


def _shorten(text: str, original: bytes, limit: int) -> str:
    """Cut the middle out, because the end of a path names the file."""
    middle = f"…{_digest(original)}…"
    kept = limit - len(middle)
    return f"{text[: kept // 2]}{middle}{text[len(text) - (kept - kept // 2) :]}"


def _digest(original: bytes) -> str:
    return hashlib.blake2b(original, digest_size=DIGEST_BYTES).hexdigest()
