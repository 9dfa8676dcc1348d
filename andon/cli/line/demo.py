"""`andon demo`: a simulated line from camera to verdict, on this machine alone."""

import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli.context import command_context
from andon.cli.options import MAX_ROWS, MAX_SEED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from andon.demo.plan import DemoPlan
    from storage.rollups.station_summaries import StationSummary

    Rows = list[tuple[str, StationSummary]]

HEADLESS_FRAMES = 300
FINISH = "the scorer finishes and commits its batch"


def demo(
    context: typer.Context,
    headless: Annotated[
        bool, typer.Option("--headless", help="No dashboard; stop by itself and print a table.")
    ] = False,
    frames: Annotated[
        int | None, typer.Option(min=3, max=MAX_ROWS, help="Stop after this many frames (with --headless).")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, max=1000, help="Frames per second at each station.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The same seed gives the same parts and defects.")] = 7,
    port: Annotated[int, typer.Option(min=1, max=65435, help="The dashboard's port, or the next free one.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open the dashboard in a browser.")] = True,
    home: Annotated[Path, typer.Option(help="The folder of the demo's data; emptied at each start.")] = Path(
        ".andon/demo"
    ),
) -> None:
    """Run a simulated line until Ctrl-C: three stations, the scorer and the dashboard.

    With --headless it produces --frames frames (300 by default), prints a table of what was caught and missed, and
    exits with 1 if a frame got no verdict.
    """
    from rich.console import Console

    from andon import logging_setup
    from andon.cli.stop_signal import stop_on_signal
    from andon.demo.plan import demo_plan
    from andon.extras import require_extra

    if frames is not None and not headless:
        raise typer.BadParameter(
            "it needs --headless: the line with its dashboard runs until Ctrl-C", param_hint="--frames"
        )
    require_extra("andon demo", "streamlit", "torch", "scipy", "skimage")
    logging_setup.configure("debug" if command_context(context).debug else "warning", "auto")
    console = Console(highlight=False)
    plan = demo_plan((frames or HEADLESS_FRAMES) if headless else None, rate, seed)
    with stop_on_signal(FINISH) as stop:
        if headless:
            _run_headless(console, home, plan, stop)
        else:
            _run_with_dashboard(console, home, plan, port, browser, stop)


def _run_with_dashboard(
    console: "Console", home: Path, plan: "DemoPlan", port: int, browser: bool, stop: threading.Event
) -> None:
    """Run the demo with its dashboard until `stop` is set, showing a live table of the stations."""
    from rich.live import Live

    from andon.demo.run import run_until_stopped

    def on_dashboard(url: str) -> None:
        console.print(f"Dashboard: [bold]{url}[/]")
        if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(url)

    def on_running() -> None:
        console.print("[bold green]The line is running.[/] Ctrl-C stops everything.\n")
        live.start()

    def on_progress(rows: "Rows") -> None:
        live.update(_summary_table(rows), refresh=True)

    with Live(_summary_table([]), console=console, auto_refresh=False, transient=False) as live:
        live.stop()
        run_until_stopped(home, plan, port, console.print, on_progress, on_dashboard, on_running, stop)
    console.print("\nStopped. The data stay until the next demo starts.")


def _run_headless(console: "Console", home: Path, plan: "DemoPlan", stop: threading.Event) -> None:
    """Run the demo without its dashboard and print its report; raises `typer.Exit` when a frame got no verdict."""
    from andon.demo.report import alert_lines, as_table
    from andon.demo.run import alerts_of, run_headless

    frames, printed = plan.frames or 0, 0

    def on_progress(rows: "Rows") -> None:
        nonlocal printed
        decided = sum(row.frames for _, row in rows)
        if decided >= printed + frames // 10:
            printed = decided
            console.print(f"{decided} of {frames} frames have a verdict.")

    rows = run_headless(home, plan, console.print, on_progress, stop)
    console.print()
    console.print(as_table(rows))
    for line in alert_lines(alerts_of(home)):
        console.print(line, soft_wrap=True)
    frames_in, lost = sum(row.frames_in for row in rows), sum(row.without_verdict for row in rows)
    if stop.is_set():
        console.print("Stopped before the end.")
        raise typer.Exit(1)
    if lost or frames_in != frames:
        console.print(f"[bold red]{lost} of {frames_in} frames got no verdict[/] ({frames} were planned).")
        raise typer.Exit(1)
    console.print(f"All {frames_in} frames got a verdict.")


def _summary_table(rows: "Rows") -> "Table":
    """Return the live table: one row per station."""
    from rich.table import Table

    table = Table("station", "frames", "flagged", "parked", "newest score", "threshold", title="The last hour")
    for name, row in rows:
        newest = row.latest
        is_flagged = newest is not None and newest.decision == "flag"
        score = "–" if newest is None or newest.score is None else f"{newest.score:.4f}"
        table.add_row(
            name,
            str(row.frames),
            str(row.flagged),
            str(row.parked),
            f"[bold red]{score} flagged[/]" if is_flagged else score,
            "–" if newest is None or newest.threshold is None else f"{newest.threshold:.4f}",
        )
    return table
