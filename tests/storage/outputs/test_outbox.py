"""The outbox has one row per verdict and output, from the output's registration until its delivery or removal."""

from datetime import timedelta
from uuid import UUID

import pytest

from storage.database.engine import Database
from storage.errors import NotFound
from storage.line import verdicts
from storage.line.normal_sets import NormalSet
from storage.outputs import outbox, outputs, pending
from storage.outputs.outputs import OutputState
from tests.storage.examples import NOON, add_active_set, add_station, make_verdict

SECOND = timedelta(seconds=1)


@pytest.fixture
def station(database: Database) -> NormalSet:
    """A station with two outputs, `file` and `plc`, and verdicts 1 to 3, one second apart."""
    with database.begin() as session:
        active = add_active_set(session, add_station(session, "s1"))
        for name in ("plc", "file"):
            outputs.register(session, name, NOON)
        made = [make_verdict(active, frame_id=UUID(int=number), at=NOON + number * SECOND) for number in (1, 2, 3)]
        verdicts.record(session, made)
    return active


@pytest.mark.usefixtures("station")
def test_every_output_has_each_verdict_in_the_order_of_recording(database: Database) -> None:
    with database.read() as session:
        for name in ("file", "plc"):
            found = pending.oldest(session, name, 10)
            assert [one.verdict.frame_id for one in found] == [UUID(int=number) for number in (1, 2, 3)]
            assert {one.station for one in found} == {"s1"}
            assert found[0].verdict == verdicts.get(session, UUID(int=1))
        assert len(pending.oldest(session, "plc", 2)) == 2
        assert pending.oldest(session, "mes", 10) == []


def test_a_verdict_that_is_recorded_again_is_not_queued_again(database: Database, station: NormalSet) -> None:
    with database.begin() as session:
        again, new = make_verdict(station, frame_id=UUID(int=1)), make_verdict(station, frame_id=UUID(int=4))
        assert verdicts.record(session, [again, new]) == {new.frame_id}
        assert len(pending.oldest(session, "plc", 10)) == 4


@pytest.mark.usefixtures("station")
def test_what_was_delivered_leaves_the_queue_of_this_output_only(database: Database) -> None:
    with database.begin() as session:
        ids = [one.verdict_id for one in pending.oldest(session, "plc", 2)]
        outbox.mark_delivered(session, "plc", ids)
        assert [one.verdict.frame_id for one in pending.oldest(session, "plc", 10)] == [UUID(int=3)]
        assert len(pending.oldest(session, "file", 10)) == 3


@pytest.mark.usefixtures("station")
def test_a_rejected_verdict_waits_for_a_retry(database: Database) -> None:
    with database.begin() as session:
        first, *_ = pending.oldest(session, "plc", 1)
        outbox.mark_rejected(session, "plc", first.verdict_id, "too large")
        assert [one.verdict.frame_id.int for one in pending.oldest(session, "plc", 10)] == [2, 3]
        outputs.set_error(session, "plc", "It is away.")
        assert outputs.list_all(session) == [
            OutputState("file", NOON, None, 3, 0, NOON + SECOND),
            OutputState("plc", NOON, "It is away.", 2, 1, NOON + 2 * SECOND),
        ]
        assert outbox.retry(session, "plc") == 1
        assert [one.verdict.frame_id.int for one in pending.oldest(session, "plc", 10)] == [1, 2, 3]
        assert outbox.retry(session, "plc") == 0


def test_an_output_that_was_removed_gets_nothing_until_it_is_registered_again(
    database: Database, station: NormalSet
) -> None:
    with database.begin() as session:
        assert outputs.remove(session, "plc").pending == 3
        verdicts.record(session, [make_verdict(station)])
        assert pending.oldest(session, "plc", 10) == []
        with pytest.raises(NotFound, match="file"):
            outputs.get(session, "plc")
        outputs.register(session, "plc", NOON)
        outputs.register(session, "plc", NOON + SECOND)
        assert outputs.get(session, "plc") == OutputState("plc", NOON, None, 0, 0, None)
        assert len(pending.oldest(session, "file", 10)) == 4


@pytest.mark.postgres
def test_a_scorer_is_not_held_up_by_the_removal_of_an_output(postgres_url: str) -> None:
    database = Database(postgres_url)
    database.upgrade()
    with database.begin() as session:
        active = add_active_set(session, add_station(session, "s1"))
        outputs.register(session, "plc", NOON)
    with database.begin() as scorer:
        verdicts.record(scorer, [make_verdict(active)])
        with database.begin() as person:
            assert outputs.remove(person, "plc").pending == 0
    with database.begin() as session:
        outputs.register(session, "plc", NOON)  # the row that the scorer committed since is not of this registration
        assert pending.oldest(session, "plc", 10) == []
    database.close()
