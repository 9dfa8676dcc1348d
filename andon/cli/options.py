"""Options that several commands have."""

from collections.abc import Sequence
from typing import Annotated

import typer

MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="TCP port of /metrics, /livez and /readyz, 0 for none; else andon.metrics_port.",
        show_default=False,
    ),
]

MAX_ROWS = 1_000_000
"""The most rows that a command lists, all of which it holds in memory."""

MAX_ID = 2**63 - 1
"""The largest id of both databases (BIGINT)."""

MAX_VERSION = 2**31 - 1
"""The largest version of a normal set (INTEGER)."""

MAX_SCORE = 1e9
"""Far above the score of any detector."""

MAX_STALE_AFTER_S = 366 * 86_400.0
"""A year: a station that may be silent for longer has no alarm."""

MAX_SAMPLE_ONE_IN = 1_000_000
"""The limit of `storage.line.stations`, which the commands' help must not import."""

MAX_REVIEWS_PER_SHIFT = 100_000
"""The limit of `storage.line.stations`, which the commands' help must not import."""

MAX_SEED = 2**32 - 1
"""The largest seed that every random generator takes."""

Limit = Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="The most to list, newest first.")]
RowId = Annotated[int, typer.Argument(metavar="ID", min=1, max=MAX_ID, help="The id in the list.", show_default=False)]
Version = Annotated[int, typer.Argument(min=1, max=MAX_VERSION, help="The set's number.", show_default=False)]

Json = Annotated[bool, typer.Option("--json", metavar="", help="Write JSON to stdout.")]


def json_keys_help(item: str, keys: Sequence[str]) -> str:
    """Return the last line of a command's help, which lists the keys of its JSON objects.

    Args:
        item: What each object describes, such as ``each alert``.
        keys: The keys of an object, in order.
    """
    return f"With --json, {item} has the keys {', '.join(keys)}."
