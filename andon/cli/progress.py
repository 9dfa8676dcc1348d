"""Progress of a long command on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from andon.cli import output

LINE_INTERVAL_S = 5.0


@contextmanager
def progress_counter(
    description: str, total: int | None = None, now: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Show progress for as long as the block lasts, and give the function that reports the count so far.

    Args:
        description: What is counted, such as ``frames published``.
        total: The final count, if it is known.
        now: A monotonic clock in seconds.
    """
    if sys.stderr.isatty():
        with _bar(description, total) as advance:
            yield advance
        return
    lines = _ProgressLines(description, total, now)
    yield lines.advance


class _ProgressLines:
    """Writes at most one line per `LINE_INTERVAL_S`; the command itself reports the end."""

    def __init__(self, description: str, total: int | None, now: Callable[[], float]) -> None:
        self._description = description
        self._of = "" if total is None else f" of {total}"
        self._now = now
        self._last_at_s = now()

    def advance(self, count: int) -> None:
        if self._now() - self._last_at_s >= LINE_INTERVAL_S:
            self._last_at_s = self._now()
            output.print_message(f"{count}{self._of} {self._description}")


@contextmanager
def _bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=output.stderr(), redirect_stdout=False) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.update(task, completed=count)
