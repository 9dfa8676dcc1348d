"""Tables as CSV files."""

import csv
import io
from datetime import datetime, timedelta

import pytest

from alerts.kpis.kpis import InspectionCounts, KpiRow, compute_kpis
from dashboard import csv_export
from storage.actions import alerts as alert_actions
from storage.auth import audit_log
from storage.line.stations import Station
from tests.dashboard.seeding import SeededStorage
from tests.dashboard.seeding_activity import ADMIN

MINUTE = timedelta(minutes=1)


def test_an_export_is_read_back_as_it_was_and_runs_nothing(line: SeededStorage, s1: Station, now: datetime) -> None:
    with line.database.begin() as session:
        alert_actions.mute(session, ADMIN, "s1", now + 60 * MINUTE, '=cmd|"/c calc"!A1', now)
        entries = audit_log.list_entries(session)
    (row,) = csv.DictReader(io.StringIO(csv_export.audit_log(entries).decode("utf-8-sig")))
    assert row["reason"] == '\'=cmd|"/c calc"!A1'
    assert (row["action"], row["actor"], row["before"]) == ("alert.mute", "single user", "")
    assert row["at"] == now.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1", "-1", "@sum(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\u200b=1", "\ufeff=1", "\x00=1"),
        *("\uff1d1+1", " \uff0b1", "\uff0d1", "\uff20sum(A1)", "\ufe621"),
    ],
)
def test_no_text_is_taken_for_a_formula(text: str) -> None:
    assert csv_export.table(["cell"], [{"cell": text}]).decode("utf-8-sig").splitlines()[1].strip('"').startswith("'")


@pytest.mark.parametrize("value", ["s1", "a=b", "press-1", "(=1)", "", -1.5, None])
def test_what_is_no_formula_stays_as_it_is(value: object) -> None:
    expected = "" if value is None else str(value)
    assert csv_export.table(["cell"], [{"cell": value}]).decode("utf-8-sig").splitlines()[1].strip('"') == expected


def test_kpis_are_exported_with_borderline_frames_and_what_review_caught(now: datetime) -> None:
    counts = InspectionCounts(frames=100, flagged=5, escaped=1, borderline=3)
    exported = csv_export.kpis([KpiRow("s1", "s1", now, now + MINUTE, compute_kpis(counts))])
    (row,) = csv.DictReader(io.StringIO(exported.decode("utf-8-sig")))
    assert tuple(row) == csv_export.KPI_COLUMNS
    assert (row["borderline"], row["borderline_share"], row["escaped"]) == ("3", "0.03", "1")
