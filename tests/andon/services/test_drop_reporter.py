"""Frames that a producer dropped reach the database, each counted once, as soon as the database is available."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from andon.services.drop_reporter import DropLedger, report_drops
from andon.settings import Settings
from ingest import metrics
from ingest.settings import IngestSettings
from storage.database.engine import Database
from storage.line import drops
from storage.line.drops import DropTotal
from storage.settings import StorageSettings
from testing.command_line import Andon
from testing.ports import free_port

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FULL = ("s1", "spool-full")


def test_dropped_frames_are_one_row_per_hour_until_they_are_reported(tmp_path: Path) -> None:
    ledger = DropLedger(tmp_path / "unreported.json", "s1", {FULL: 10})
    ledger.update({FULL: 13}, NOON)
    (row,) = ledger.unreported
    assert (row.station, row.reason, row.frames, row.first_at) == ("s1", "spool-full", 3, NOON)
    ledger.update({FULL: 14}, NOON + MINUTE)
    ledger.mark_reported([row])  # the count has grown while it was reported
    (grown,) = ledger.unreported
    assert (grown.id, grown.frames, grown.last_at) == (row.id, 4, NOON + MINUTE)
    ledger.mark_reported([grown])
    assert ledger.unreported == []
    ledger.update({FULL: 14, ("", "spool-damaged"): 1}, NOON + 2 * MINUTE)
    ledger.update({FULL: 16, ("", "spool-damaged"): 1}, NOON + 61 * MINUTE)
    assert [(row.station, row.reason, row.frames) for row in ledger.unreported] == [
        ("s1", "spool-damaged", 1),
        ("s1", "spool-full", 2),
    ]


def test_unreported_rows_survive_a_restart_and_leave_no_file(tmp_path: Path) -> None:
    file = tmp_path / "s1" / "unreported.json"
    before = DropLedger(file, "s1", {})
    before.update({FULL: 3}, NOON)
    after = DropLedger(file, "s1", {})
    assert after.unreported == before.unreported
    after.mark_reported(after.unreported)
    assert list(file.parent.iterdir()) == []


@contextmanager
def unavailable(path: Path) -> Iterator[None]:
    """A database that can't be opened: its path is a folder."""
    path.mkdir()
    yield
    path.rmdir()


def test_drop_counts_wait_for_an_unavailable_database_across_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "andon.db"
    url = f"sqlite:///{path}"
    settings = Settings(ingest=IngestSettings(spool_path=tmp_path / "spool"), storage=StorageSettings(database_url=url))
    with unavailable(path), report_drops(settings, "s7", lambda: NOON, interval_s=0.01):
        metrics.count_dropped(["s7"] * 3, "spool-full")
    with report_drops(settings, "s7", lambda: NOON + MINUTE):
        metrics.count_dropped(["s7"] * 2, "too-large")
    with report_drops(settings, "s7"):
        pass
    with closing(Database(url)) as database, database.read() as session:
        assert drops.totals_since(session, NOON) == {"s7": DropTotal(5, NOON)}


def test_a_producer_reports_dropped_frames_to_the_database(
    andon: Andon, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty frames of at least 50 kB do not fit into a spool of 500 kB; the newest stay."""
    andon("station", "add", "s1")
    monkeypatch.setenv("ANDON_INGEST__BUS", "kafka")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_UNAVAILABLE_AFTER_S", "1")
    monkeypatch.setenv("ANDON_INGEST__MAX_SPOOL_BYTES", "500000")
    monkeypatch.setenv("ANDON_INGEST__WHEN_SPOOL_FULL", "drop_oldest")
    before = metrics.dropped_frames().get(FULL, 0)
    produced = andon("produce", "s1", "--source", "simulated:brick", "--limit", "20")
    dropped = metrics.dropped_frames()[FULL] - before
    assert f"{20 - dropped} frames wait in the spool" in produced.err
    with closing(Database("sqlite:///.andon/andon.db")) as database, database.read() as session:
        assert drops.totals_since(session, datetime.now(UTC) - MINUTE)["s1"].frames == dropped > 0
