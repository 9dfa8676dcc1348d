"""Options that several commands share."""

from collections.abc import Sequence
from typing import Annotated

import typer

MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Serve /metrics and /healthz on this port, 0 for neither; else andon.metrics_port.",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", metavar="", help="Write JSON to stdout.")]


def json_keys_help(one: str, keys: Sequence[str]) -> str:
    """The last line of a command's help: which keys its JSON has, `one` saying what each object is."""
    return f"With --json, {one} has the keys {', '.join(keys)}."
