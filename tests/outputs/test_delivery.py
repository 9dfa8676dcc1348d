"""Every verdict reaches every output once and in order per station, whatever fails on the way."""

import threading
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from outputs.errors import OutputUnavailable
from outputs.protocol import MAX_BATCH
from storage.database.engine import Database
from storage.errors import NotFound
from storage.line import verdicts
from storage.outputs import outbox, outputs
from tests.outputs.examples import AWAY, RecordingOutput, StopAfter, add_ready_station, decide, delivery_to, state_of
from tests.storage.examples import NOON, make_verdict


@pytest.fixture
def output() -> RecordingOutput:
    return RecordingOutput()


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"andon_output_{name}", {"output": "plc"}) or 0.0


def test_each_verdict_is_delivered_once_and_in_order(database: Database, output: RecordingOutput) -> None:
    delivery = delivery_to(database, output)
    first, second = add_ready_station(database, "s1"), add_ready_station(database, "s2")
    sent = decide(database, first, range(150)) + decide(database, second, range(500, 600))
    sent += decide(database, first, range(150, 170)) + decide(database, first, range(170))  # the last were read again
    delivery.run(threading.Event(), drain=True)
    assert output.received == sent[:270]
    assert delivery.deliver() == 0
    assert state_of(database).pending == 0


def test_a_round_sends_a_batch_at_most(database: Database, output: RecordingOutput) -> None:
    delivery = delivery_to(database, output)
    decide(database, add_ready_station(database, "s1"), range(MAX_BATCH + 1))
    assert [delivery.deliver(), delivery.deliver(), delivery.deliver()] == [MAX_BATCH, 1, 0]


def test_verdicts_from_before_an_output_was_started_are_not_sent(database: Database, output: RecordingOutput) -> None:
    station = add_ready_station(database, "s1")
    decide(database, station, [1])
    delivery = delivery_to(database, output)
    later = decide(database, station, [2])
    delivery.deliver()
    assert output.received == later


def test_a_verdict_that_is_rolled_back_is_never_sent(database: Database, output: RecordingOutput) -> None:
    delivery = delivery_to(database, output)
    station = add_ready_station(database, "s1")
    with suppress(ZeroDivisionError), database.begin() as session:
        verdicts.record(session, [make_verdict(station)])
        raise ZeroDivisionError
    assert delivery.deliver() == 0


@pytest.mark.postgres
def test_a_verdict_with_a_lower_id_that_is_committed_later_is_delivered(
    postgres_url: str, output: RecordingOutput
) -> None:
    database = Database(postgres_url)
    database.upgrade()
    delivery = delivery_to(database, output)
    first, second = add_ready_station(database, "s1"), add_ready_station(database, "s2")
    early, late = UUID(int=1), UUID(int=2)
    with database.begin() as slow:
        verdicts.record(slow, [make_verdict(first, frame_id=early)])  # this takes the lower id
        with database.begin() as quick:
            verdicts.record(quick, [make_verdict(second, frame_id=late)])
        assert delivery.deliver() == 1
        assert output.received == [late]
    assert delivery.deliver() == 1
    assert output.received == [late, early]
    database.close()


def test_a_failing_output_is_retried_with_back_off_and_loses_nothing(
    database: Database, output: RecordingOutput
) -> None:
    delivery = delivery_to(database, output)
    sent = decide(database, add_ready_station(database, "s1"), range(3))
    failures = metric("failures_total")
    output.failure = AWAY
    wait = StopAfter(4)
    delivery.run(threading.Event(), wait_for=wait)
    assert wait.waits_s == [1.0, 2.0, 4.0, 4.0]
    assert metric("failures_total") - failures == 4
    assert (state_of(database).pending, state_of(database).error) == (3, str(AWAY))
    assert delivery.health() == [f"The output plc waits: {AWAY}"]
    output.failure = None
    delivery.run(threading.Event(), drain=True)
    assert output.received == sent
    assert (state_of(database).pending, state_of(database).error) == (0, None)
    assert delivery.health() == []


def test_an_error_that_no_output_should_raise_is_waited_for_too(database: Database, output: RecordingOutput) -> None:
    delivery = delivery_to(database, output)
    sent = decide(database, add_ready_station(database, "s1"), range(3))
    output.failure = ZeroDivisionError()
    delivery.run(threading.Event(), wait_for=StopAfter(1))
    assert delivery.health() == ["The output plc waits: ZeroDivisionError"]
    output.failure = None
    assert delivery.deliver() == 3
    assert output.received == sent


def test_a_failing_output_stops_no_other_one(database: Database, output: RecordingOutput) -> None:
    away = RecordingOutput(failure=AWAY)
    failing, working = delivery_to(database, away, "mes"), delivery_to(database, output)
    sent = decide(database, add_ready_station(database, "s1"), range(3))
    failing.run(threading.Event(), wait_for=StopAfter(1))
    working.deliver()
    assert output.received == sent
    assert (state_of(database, "mes").pending, state_of(database).pending) == (3, 0)


def test_a_rejected_verdict_is_set_aside_with_its_reason_and_the_others_are_delivered(
    database: Database, output: RecordingOutput
) -> None:
    delivery = delivery_to(database, output)
    sent = decide(database, add_ready_station(database, "s1"), range(5))
    output.rejects = {sent[2]}
    assert delivery.deliver() == 5
    assert output.received == [*sent[:2], *sent[3:]]
    assert (state_of(database).pending, state_of(database).rejected) == (0, 1)
    output.rejects = ()
    assert delivery.deliver() == 0
    with database.begin() as session:
        assert outbox.retry(session, "plc") == 1
    assert delivery.deliver() == 1
    assert output.received[-1] == sent[2]


def test_a_failure_after_a_rejection_repeats_nothing_that_was_delivered(
    database: Database, output: RecordingOutput
) -> None:
    delivery = delivery_to(database, output)
    sent = decide(database, add_ready_station(database, "s1"), range(5))
    output.rejects = {sent[1]}
    output.room = 2
    with pytest.raises(OutputUnavailable):
        delivery.deliver()
    output.room = 5
    assert delivery.deliver() == 2
    assert output.received == [sent[0], *sent[2:]]


def test_two_deliveries_of_one_output_send_each_station_in_order(database: Database, output: RecordingOutput) -> None:
    station = add_ready_station(database, "s1")
    other = RecordingOutput()
    first, second = delivery_to(database, output), delivery_to(database, other)
    sent = decide(database, station, range(10))
    first.deliver()
    second.deliver()
    more = decide(database, station, range(10, 20))
    second.deliver()
    first.deliver()
    assert (output.received, other.received) == (sent, more)


def test_a_delivery_whose_output_was_removed_says_so(database: Database, output: RecordingOutput) -> None:
    delivery = delivery_to(database, output)
    with database.begin() as session:
        outputs.remove(session, "plc")
    with pytest.raises(NotFound):
        delivery.deliver()


def test_metrics_count_deliveries_and_the_age_of_the_oldest_verdict(
    database: Database, output: RecordingOutput
) -> None:
    delivered, rejected = metric("delivered_total"), metric("rejected_total")
    delivery = delivery_to(database, output, now=NOON + timedelta(minutes=2))
    sent = decide(database, add_ready_station(database, "s1"), [30, 31, 32])
    output.failure = AWAY
    delivery.run(threading.Event(), wait_for=StopAfter(1))
    assert metric("oldest_pending_seconds") == 90.0
    output.failure, output.rejects = None, {sent[0]}
    delivery.run(threading.Event(), drain=True)
    assert (metric("delivered_total") - delivered, metric("rejected_total") - rejected) == (2, 1)
    assert metric("oldest_pending_seconds") == 0.0
