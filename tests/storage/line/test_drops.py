"""Frames lost before the bus: reported repeatedly, counted once."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from storage.database.engine import Database
from storage.line import drops
from storage.line.drops import DropReport, DropTotal
from tests.storage.examples import NOON

MINUTE = timedelta(minutes=1)
THREE = DropReport(UUID(int=1), "s1", "spool-full", 3, NOON, NOON + MINUTE)


def test_a_repeated_report_is_counted_once_and_a_count_never_falls(database: Database) -> None:
    grown = replace(THREE, frames=5, last_at=NOON + 2 * MINUTE)
    with database.begin() as session:
        drops.record(session, [THREE, THREE])
        drops.record(session, [grown])
        drops.record(session, [THREE])  # reported late
    with database.read() as session:
        assert drops.totals_since(session, NOON) == {"s1": DropTotal(5, NOON)}
        assert drops.totals_since(session, NOON + 2 * MINUTE) == {"s1": DropTotal(5, NOON)}
        assert drops.totals_since(session, NOON + 3 * MINUTE) == {}


def test_drops_of_a_station_are_summed(database: Database) -> None:
    others = [
        DropReport(UUID(int=2), "s1", "too-large", 4, NOON + MINUTE, NOON + MINUTE),
        DropReport(UUID(int=3), "s2", "spool-full", 2**40, NOON, NOON),
        DropReport(UUID(int=4), "a name that no station can have\0" * 9, "spool-full", 1, NOON, NOON),
    ]
    with database.begin() as session:
        drops.record(session, [THREE, *others])
    with database.read() as session:
        found = drops.totals_since(session, NOON - MINUTE)
    assert (found["s1"], found["s2"]) == (DropTotal(7, NOON), DropTotal(2**40, NOON))
    assert len(found) == 3
