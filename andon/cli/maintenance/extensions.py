"""`andon extensions`: the detectors, sources, outputs and alert rules that other installed packages add."""

from importlib.metadata import entry_points

import typer

from andon.cli import output
from andon.cli.options import Json

ENTRY_POINT_GROUPS = {
    "andon.detectors": "detector",
    "andon.sources": "source",
    "andon.outputs": "output",
    "andon.alert_rules": "alert rule",
}
KEYS = ("kind", "name", "package", "version", "object")


def extensions(_: typer.Context, json: Json = False) -> None:
    """List the detectors, sources, outputs and alert rules that installed packages add."""
    rows = [
        {
            "kind": kind,
            "name": point.name,
            "package": point.dist.name if point.dist else None,
            "version": point.dist.version if point.dist else None,
            "object": point.value,
        }
        for group, kind in ENTRY_POINT_GROUPS.items()
        for point in sorted(entry_points(group=group), key=lambda point: point.name)
    ]
    if json:
        output.write_json(rows)
        return
    output.write_table(KEYS, [tuple(row.values()) for row in rows], empty="No installed package adds anything.")
