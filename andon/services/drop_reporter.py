"""Tells the database of frames that a producer lost, so that the wall says so; no count is lost on the way.

The rooms count lost frames in a metric. Here the metric's growth becomes rows, one an hour, station and reason; what
the database does not have yet also lies in a file beside the spool, for the next start.
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

log = structlog.get_logger()


class DropLedger:
    """What was lost and is not told yet; used from one thread at a time."""

    def __init__(self, file: Path, station: str, so_far: Mapping[tuple[str, str], int]) -> None:
        """`so_far` was lost before; `station` is whose frames they are where that can't be told any more."""
        self._file = file
        self._station = station
        self._so_far = so_far
        self._growing: dict[tuple[str, str], DropReport] = {}
        self._untold = {drop.id: drop for drop in _read(file)}

    @property
    def unreported(self) -> list[DropReport]:
        return list(self._untold.values())

    def note(self, so_far: Mapping[tuple[str, str], int], at: datetime) -> None:
        """Take over what was lost since the last note; `so_far` counts by station and reason."""
        grown = {key: frames - self._so_far.get(key, 0) for key, frames in so_far.items()}
        self._so_far = so_far
        for (station, reason), frames in grown.items():
            if frames > 0:
                self._add(station or self._station, reason, frames, at)
        if any(grown.values()):
            self._keep()

    def told(self, rows: Sequence[DropReport]) -> None:
        """The database has these; those that have grown meanwhile are to be told again."""
        for row in rows:
            if self._untold.get(row.id) == row:
                del self._untold[row.id]
        self._keep()

    def _add(self, station: str, reason: str, frames: int, at: datetime) -> None:
        row = self._growing.get((station, reason))
        if row is None or at - row.first_at >= ROW_DURATION:
            row = DropReport(uuid4(), station, reason, 0, at, at)
        row = replace(row, frames=row.frames + frames, last_at=max(at, row.last_at))
        self._growing[station, reason] = self._untold[row.id] = row

    def _keep(self) -> None:
        try:
            if not self._untold:
                self._file.unlink(missing_ok=True)
                return
            write_file(self._file, json.dumps([asdict(row) for row in self.unreported], default=str).encode())
        except OSError as error:  # the disk may be what is full; memory has them as long as the process lives
            log.warning("counts of dropped frames can't be kept on disk", file=str(self._file), error=error.strerror)


class _Teller:
    def __init__(self, settings: Settings, ledger: DropLedger, clock: Clock, look_every_s: float) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._look_every_s = look_every_s
        self._trouble: str | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Report while the block lasts, and once at its end."""
        try:
            with background_thread(self._run, "drop-reporter"):
                yield
        finally:
            if left := sum(row.frames for row in self._ledger.unreported):
                log.warning("dropped frames are not in the database; the next start tells them", frames=left)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._look_every_s):
            self._tell()
        self._tell()

    def _tell(self) -> None:
        from andon import wiring

        self._ledger.note(metrics.drops(), self._clock())
        rows = self._ledger.unreported
        if not rows:
            return
        try:
            with wiring.database(self._settings) as database, database.begin() as session:
                drops.record(session, rows)
        except StorageError as error:
            if str(error) != self._trouble:
                log.warning("dropped frames can't be told to the database yet; their count is kept", error=str(error))
            self._trouble = str(error)
        else:
            self._trouble = None
            self._ledger.told(rows)


@contextmanager
def report_drops(
    settings: Settings,
    station: str,
    clock: Clock = utc_now,
    look_every_s: float = REPORT_INTERVAL_S,
) -> Iterator[None]:
    """While inside, and once at the end, tell the database what this process dropped.

    A database that is away is tried again at every look; what it still lacks at the end is told at the next start.
    """
    ledger = DropLedger(settings.ingest.spool_path / station / "unreported-drops.json", station, metrics.drops())
    with _Teller(settings, ledger, clock, look_every_s).running():
        yield


def _read(file: Path) -> list[DropReport]:
    try:
        kept = json.loads(file.read_text())
        return [
            DropReport(
                UUID(row["id"]),
                row["station"],
                row["reason"],
                row["frames"],
                datetime.fromisoformat(row["first_at"]),
                datetime.fromisoformat(row["last_at"]),
            )
            for row in kept
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.error("counts of dropped frames can't be read and are left out", file=str(file), error=str(error))
        return []
