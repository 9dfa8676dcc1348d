"""Reports the frames that a producer dropped to the database, so that the dashboard shows them; no count is lost.

The producer counts dropped frames in a metric. The reporter turns the metric's growth into rows, one per station,
reason and hour. Rows that the database does not have yet are also in a file next to the spool, for the next start.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import structlog

from andon import wiring
from andon.settings import Settings
from foundation.atomic_files import write_file
from foundation.clock import Clock, utc_now
from foundation.threads import background_thread
from ingest import metrics
from storage.errors import StorageError
from storage.line import drops
from storage.line.drops import DropReport

ROW_DURATION = timedelta(hours=1)
REPORT_INTERVAL_S = 1.0

DropCounts = Mapping[tuple[str, str], int]
"""(station, reason) → the number of frames dropped since the process started."""

log = structlog.get_logger()


class DropLedger:
    """The dropped frames that are not in the database yet; used from one thread at a time."""

    def __init__(self, file: Path, station: str, counted: DropCounts) -> None:
        """Start from the rows in the file.

        Args:
            file: Where unreported rows survive the process.
            station: The station of dropped frames whose own station is not known.
            counted: The frames dropped so far, which were reported before.
        """
        self._file = file
        self._station = station
        self._counted = counted
        self._current: dict[tuple[str, str], DropReport] = {}
        self._unreported = {row.id: row for row in _read(file)}

    @property
    def unreported(self) -> list[DropReport]:
        """The rows that the database does not have yet, oldest first."""
        return list(self._unreported.values())

    def update(self, counted: DropCounts, at: datetime) -> None:
        """Add the frames that were dropped since the last update.

        Args:
            counted: The frames dropped so far.
            at: The time of the count, in UTC.
        """
        growth = {key: frames - self._counted.get(key, 0) for key, frames in counted.items()}
        self._counted = counted
        for (station, reason), frames in growth.items():
            if frames > 0:
                self._add(station or self._station, reason, frames, at)
        if any(growth.values()):
            self._save()

    def mark_reported(self, rows: Sequence[DropReport]) -> None:
        """Remove rows that the database has; one that has grown meanwhile stays, to be reported again."""
        for row in rows:
            if self._unreported.get(row.id) == row:
                del self._unreported[row.id]
        self._save()

    def _add(self, station: str, reason: str, frames: int, at: datetime) -> None:
        row = self._current.get((station, reason))
        if row is None or at - row.first_at >= ROW_DURATION:
            row = DropReport(uuid4(), station, reason, 0, at, at)
        row = replace(row, frames=row.frames + frames, last_at=max(at, row.last_at))
        self._current[station, reason] = self._unreported[row.id] = row

    def _save(self) -> None:
        try:
            if not self._unreported:
                self._file.unlink(missing_ok=True)
                return
            write_file(self._file, json.dumps([asdict(row) for row in self.unreported], default=str).encode())
        except OSError as error:  # the disk may be full, which is why frames are dropped; memory still has the rows
            log.warning("could not save the counts of dropped frames", file=str(self._file), error=error.strerror)


class DropReporter:
    """Writes the rows of a ledger to the database; runs in a thread of its own."""

    def __init__(self, settings: Settings, ledger: DropLedger, clock: Clock, interval_s: float) -> None:
        """Report every `interval_s` seconds."""
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._interval_s = interval_s
        self._last_error: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Report until `stop` is set, and once more after it."""
        while not stop.wait(self._interval_s):
            self.report()
        self.report()

    def report(self) -> None:
        """Write the counts that are not in the database yet; an unavailable database is tried again the next time."""
        self._ledger.update(metrics.dropped_frames(), self._clock())
        rows = self._ledger.unreported
        if not rows:
            return
        try:
            with wiring.open_database(self._settings) as database, database.begin() as session:
                drops.record(session, rows)
        except StorageError as error:
            if str(error) != self._last_error:
                log.warning("could not report dropped frames to the database; will retry", error=str(error))
            self._last_error = str(error)
        else:
            self._last_error = None
            self._ledger.mark_reported(rows)


@contextmanager
def report_drops(
    settings: Settings, station: str, clock: Clock = utc_now, interval_s: float = REPORT_INTERVAL_S
) -> Iterator[None]:
    """Report the frames that this process drops for as long as the block lasts, and once more at its end.

    Counts that are not in the database by then are reported after the next start.
    """
    ledger = DropLedger(
        settings.ingest.spool_path / station / "unreported-drops.json", station, metrics.dropped_frames()
    )
    with background_thread(DropReporter(settings, ledger, clock, interval_s).run, "drop-reporter"):
        yield
    if frames := sum(row.frames for row in ledger.unreported):
        log.warning("dropped frames are not in the database; the next start reports them", frames=frames)


def _read(file: Path) -> list[DropReport]:
    try:
        rows = json.loads(file.read_text())
        return [
            DropReport(
                UUID(row["id"]),
                row["station"],
                row["reason"],
                row["frames"],
                datetime.fromisoformat(row["first_at"]),
                datetime.fromisoformat(row["last_at"]),
            )
            for row in rows
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.error("could not read the counts of dropped frames; ignoring them", file=str(file), error=str(error))
        return []
