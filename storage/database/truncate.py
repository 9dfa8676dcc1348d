"""Text from outside, adapted to the length and the characters that a column can store."""


def truncate(text: str, length: int) -> str:
    """Return at most `length` characters that both databases can store, with "…" where text was cut.

    PostgreSQL stores neither NUL nor lone surrogates; they are replaced.
    """
    storable = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    return storable if len(storable) <= length else f"{storable[: length - 1]}…"


def truncate_or_none(text: str | None, length: int) -> str | None:
    """Return `truncate` of the text, None for None."""
    return None if text is None else truncate(text, length)
