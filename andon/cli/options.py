"""Options that several commands have."""

from collections.abc import Sequence
from typing import Annotated

import typer

MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="TCP port of /metrics and /healthz, 0 for none; else andon.metrics_port.",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", metavar="", help="Write JSON to stdout.")]


def json_keys_help(item: str, keys: Sequence[str]) -> str:
    """Return the last line of a command's help, which lists the keys of its JSON objects.

    Args:
        item: What each object describes, such as ``each alert``.
        keys: The keys of an object, in order.
    """
    return f"With --json, {item} has the keys {', '.join(keys)}."
