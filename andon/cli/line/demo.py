"""`andon demo`: a simulated line, end to end, on this machine alone."""

import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli.context import command_context

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from storage.line.verdicts import StationSummary

    Rows = list[tuple[str, StationSummary]]


def demo(
    context: typer.Context,
    headless: Annotated[bool, typer.Option("--headless", help="No dashboard; end by itself with a table.")] = False,
    frames: Annotated[int | None, typer.Option(min=3, help="End after so many frames (with --headless).")] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Frames a second at each station.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same parts and defects.")] = 7,
    port: Annotated[int, typer.Option(min=1, max=65435, help="The dashboard's port, or the next free one.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open the dashboard in a browser.")] = True,
    home: Annotated[Path, typer.Option(help="Where the demo keeps its data; cleared at each start.")] = Path(
        ".andon/demo"
    ),
) -> None:
    """Run a simulated line: three stations, the scorer and the dashboard, until Ctrl-C.

    With --headless it makes --frames frames (300 unless said), prints a table of what was caught and missed, and
    exits 1 if a frame got no verdict.
    """
    from rich.console import Console
    from rich.live import Live

    from andon import logging_setup
    from andon.cli.stop_signal import stop_on_signal
    from andon.demo.plan import demo_plan

    if frames is not None and not headless:
        raise typer.BadParameter("--frames goes with --headless: the line with its dashboard runs until Ctrl-C.")
    logging_setup.configure("debug" if command_context(context).debug else "warning", "auto")
    console = Console(highlight=False)
    if headless:
        with stop_on_signal("the scorer finishes and commits its batch") as stop:
            _headless(console, home, frames or 300, rate, seed, stop)
        return
    from andon.demo.run import run_until_stopped

    def opened(address: str) -> None:
        console.print(f"Dashboard: [bold]{address}[/]")
        if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(address)

    def runs() -> None:
        console.print("[bold green]The line runs.[/] Ctrl-C stops everything.\n")
        live.start()

    with (
        stop_on_signal("the scorer finishes and commits its batch") as stop,
        Live(_board([]), console=console, auto_refresh=False, transient=False) as live,
    ):
        live.stop()
        plan = demo_plan(None, rate, seed)
        run_until_stopped(
            home, plan, port, console.print, lambda rows: live.update(_board(rows), refresh=True), opened, runs, stop
        )
    console.print("\nStopped. Its data stay until the next demo starts.")


def _headless(
    console: "Console", home: Path, frames: int, rate: float | None, seed: int, stop: threading.Event
) -> None:
    from andon.demo.plan import demo_plan
    from andon.demo.report import alert_lines, as_table
    from andon.demo.run import alerts_of, run_headless

    shown = 0

    def watch(rows: "Rows") -> None:
        nonlocal shown
        decided = sum(row.frames for _, row in rows)
        if decided >= shown + frames // 10:
            shown = decided
            console.print(f"{decided} of {frames} frames decided.")

    rows = run_headless(home, demo_plan(frames, rate, seed), console.print, watch, stop)
    console.print()
    console.print(as_table(rows))
    for line in alert_lines(alerts_of(home)):
        console.print(line, soft_wrap=True)
    frames_in, lost = sum(row.frames_in for row in rows), sum(row.without_verdict for row in rows)
    if stop.is_set():
        console.print("Stopped before the end.")
        raise typer.Exit(1)
    if lost or frames_in != frames:
        console.print(f"[bold red]{lost} of {frames_in} frames got no verdict[/] ({frames} were to be made).")
        raise typer.Exit(1)
    console.print(f"Every one of {frames_in} frames got its verdict.")


def _board(rows: "Rows") -> "Table":
    from rich.table import Table

    table = Table("station", "frames", "flagged", "waiting", "newest score", "threshold", title="The last hour")
    for name, row in rows:
        newest = row.latest
        flagged = newest is not None and newest.decision == "flag"
        score = "–" if newest is None or newest.score is None else f"{newest.score:.4f}"
        table.add_row(
            name,
            str(row.frames),
            str(row.flagged),
            str(row.parked),
            f"[bold red]{score} flagged[/]" if flagged else score,
            "–" if newest is None or newest.threshold is None else f"{newest.threshold:.4f}",
        )
    return table
