"""Where a command's output goes: terminals that are not UTF-8, and names that hold control characters."""

import codecs
import io
import os
import sys

ERROR_HANDLER = "andon.plain"

PLAIN = {
    "…": "...",
    "→": "->",
    "←": "<-",
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "•": "*",
    "·": "-",
    "✓": "ok",
    "✗": "x",
    "½": "1/2",
    "¼": "1/4",
    "⅛": "1/8",
}
"""How to write a character where the encoding of the terminal does not have it."""


def prepare_streams() -> None:
    """Let stdout and stderr write any text: what their encoding does not have is written plainly or as an escape."""
    codecs.register_error(ERROR_HANDLER, _write_plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERROR_HANDLER)


def discard_output() -> None:
    """Send what is still in the buffer of stdout nowhere: its device can't take it, and Python would try at exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def visible(text: str) -> str:
    r"""Return a text with every character that is not printable as an escape, such as ``\x1b``.

    Names come from cameras and other people: escape sequences in them would move the cursor, change the title of the
    terminal or hide text.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def _write_plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    unknown = error.object[error.start : error.end]
    plain = "".join(
        PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode("ascii") for character in unknown
    )
    return plain, error.end
