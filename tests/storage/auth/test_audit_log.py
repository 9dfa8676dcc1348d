"""The audit log only grows, and everything in it can be found again."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.auth import audit_log
from storage.auth.actors import Actor, Role
from storage.auth.audit_log import AuditFilter
from storage.auth.rights import Action
from storage.database.engine import Database
from storage.database.tables import AuditRow
from storage.line.stations import StationSettings
from tests.storage.examples import NOON

MIA, LEO = Actor("mia", Role.ENGINEER), Actor("leo", Role.INSPECTOR)


def add_entry(session: Session, who: Actor, action: Action, minute: int, station: str = "s1", reason: str = "") -> None:
    audit_log.record(
        session, who, action, NOON + timedelta(minutes=minute), station=station, subject=f"at {minute}", reason=reason
    )


def subjects(session: Session, audit_filter: AuditFilter) -> list[str]:
    return [entry.subject for entry in audit_log.list_entries(session, audit_filter)]


def test_an_entry_records_actor_time_action_and_both_states(database: Database) -> None:
    before, after = StationSettings(), StationSettings(object_name="Schraube, groß")
    with database.begin() as session:
        audit_log.record(
            session,
            MIA,
            "station.edit",
            NOON,
            station="s1",
            subject="station s1",
            before=before,
            after={"settings": after, "at": NOON, "tags": ("a",)},
            reason="a new part",
        )
        (entry,) = audit_log.list_entries(session)
    assert (entry.at, entry.actor, entry.role, entry.action) == (NOON, "mia", "engineer", "station.edit")
    assert (entry.station, entry.subject, entry.reason) == ("s1", "station s1", "a new part")
    assert entry.before["object_name"] == "part"
    assert entry.after["settings"]["object_name"] == "Schraube, groß"
    assert (entry.after["at"], entry.after["tags"]) == (NOON.isoformat(), ["a"])


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
def test_an_entry_cannot_be_changed_even_by_sql(database: Database, change: str) -> None:
    with database.begin() as session:
        add_entry(session, MIA, "threshold.set", 0)
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(text(change))


@pytest.mark.postgres
def test_the_audit_log_cannot_be_truncated(postgres_url: str) -> None:
    database = Database(postgres_url)
    database.upgrade()
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(text("TRUNCATE audit"))
    database.close()


def test_entries_under_an_action_s_former_code_are_found_under_today_s(database: Database) -> None:
    with database.begin() as session:
        add_entry(session, LEO, "review.label", 0)
        session.execute(
            insert(AuditRow).values(
                at=NOON + timedelta(minutes=1),
                actor="leo",
                role="inspector",
                action="review.say",
                station="s1",
                subject="at 1",
                reason="",
            )
        )
        add_entry(session, LEO, "review.label", 2)
        first, second = audit_log.list_entries(session, AuditFilter(action="review.label"), limit=2)
        (last,) = audit_log.list_entries(session, AuditFilter(action="review.label"), after=second)
        every = [(entry.subject, entry.action) for entry in audit_log.export(session)]
    assert [entry.subject for entry in (first, second, last)] == ["at 2", "at 1", "at 0"]
    assert every == [("at 2", "review.label"), ("at 1", "review.label"), ("at 0", "review.label")]


def test_entries_are_found_by_each_filter_newest_first(database: Database) -> None:
    with database.begin() as session:
        add_entry(session, MIA, "threshold.set", 0, reason="too many false alarms")
        add_entry(session, LEO, "review.label", 1)
        add_entry(session, MIA, "threshold.set", 2, station="s2", reason="100 % glare")
        assert subjects(session, AuditFilter()) == ["at 2", "at 1", "at 0"]
        assert subjects(session, AuditFilter(actor="mia")) == ["at 2", "at 0"]
        assert subjects(session, AuditFilter(action="review.label")) == ["at 1"]
        assert subjects(session, AuditFilter(station="s1")) == ["at 1", "at 0"]
        assert subjects(session, AuditFilter(text="FALSE Alarm")) == ["at 0"]
        assert subjects(session, AuditFilter(text="100 %")) == ["at 2"]
        assert subjects(session, AuditFilter(text="%")) == ["at 2"]
        assert subjects(session, AuditFilter(since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=2))) == [
            "at 1"
        ]


def test_pages_and_export_contain_each_entry_once_even_at_equal_times(database: Database) -> None:
    with database.begin() as session:
        for number in range(7):
            add_entry(session, MIA, "review.label", number // 3)
        all_entries = audit_log.list_entries(session)
        pages, last = [], None
        while page := audit_log.list_entries(session, after=last, limit=2):
            pages += page
            last = page[-1]
        assert pages == all_entries == list(audit_log.export(session))
        assert len({entry.id for entry in pages}) == 7
