"""Text from outside, made fit for a column."""


def truncate(text: str, length: int) -> str:
    """At most `length` characters that both databases keep: PostgreSQL takes neither NUL nor a lone surrogate."""
    kept = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    return kept if len(kept) <= length else f"{kept[: length - 1]}…"


def truncate_or_none(text: str | None, length: int) -> str | None:
    """`fit`, with nothing staying nothing."""
    return None if text is None else truncate(text, length)
