import math
from dataclasses import replace
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.areas.regions import Region
from storage.database.engine import Database
from storage.errors import InvalidChange, NotFound
from storage.line import parked_frames, verdicts
from storage.line.arrival import arrival
from storage.line.verdicts import Verdict
from storage.rollups import station_summaries
from testing.processes import forkserver
from tests.storage.examples import NOON, add_active_set, add_station, make_parked_frame, make_verdict

SECOND = timedelta(seconds=1)


def test_a_verdict_reads_back_exactly(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
        scored, unscored = make_verdict(active, score=0.1 + 0.2), make_verdict(active, decision="no_reference")
        bad = make_verdict(active, decision="bad_picture")
        borderline = make_verdict(active, score=0.45, review_limit=0.4)
        region = Region("lower-left", 0.03, (0.0, 0.7, 0.3, 1.0), ((0.0, 0.7), (0.3, 1.0), (0.0, 1.0)))
        flagged = replace(make_verdict(active, score=0.75, decision="flag"), regions=(region,))
        recorded = [scored, unscored, bad, borderline, flagged]
        assert verdicts.record(session, recorded) == {verdict.frame_id for verdict in recorded}
    with database.read() as session:
        assert verdicts.get(session, scored.frame_id) == scored
        assert verdicts.get(session, unscored.frame_id) == unscored
        assert verdicts.get(session, bad.frame_id) == bad
        assert verdicts.get(session, borderline.frame_id) == borderline
        assert verdicts.get(session, flagged.frame_id) == flagged
        assert [verdict.is_borderline for verdict in recorded] == [False, False, False, True, False]
        assert (bad.score, bad.threshold, bad.picture_problem) == (None, None, "blurred")
        with pytest.raises(NotFound):
            verdicts.get(session, uuid4())


def test_the_latest_flagged_frame_of_each_station_is_found_since_a_time(database: Database) -> None:
    with database.begin() as session:
        one, other, quiet = (add_active_set(session, add_station(session, name)) for name in ("s1", "s2", "s3"))
        old = make_verdict(one, at=NOON, score=0.7, decision="flag")
        new = make_verdict(one, at=NOON + SECOND, score=0.6, decision="flag")
        passed = make_verdict(one, at=NOON + 2 * SECOND)
        elsewhere = make_verdict(other, at=NOON, score=0.8, decision="flag")
        verdicts.record(session, [new, old, passed, elsewhere, make_verdict(quiet)])
    with database.read() as session:
        assert verdicts.latest_flagged(session, NOON) == {one.station_id: new, other.station_id: elsewhere}
        assert verdicts.latest_flagged(session, NOON + SECOND) == {one.station_id: new}
        assert verdicts.latest_flagged(session, NOON + 2 * SECOND) == {}


def test_the_first_verdict_on_a_frame_stays(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
        first = make_verdict(active, score=0.1)
        assert verdicts.record(session, [first, replace(first, score=0.9)]) == {first.frame_id}
        assert verdicts.record(session, [replace(first, score=0.9, decision="flag")]) == set()
        assert verdicts.record(session, []) == set()
        assert verdicts.get(session, first.frame_id) == first
        assert verdicts.count(session) == 1
        assert verdicts.count(session, decision="flag") == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=8))
def test_repeated_batches_record_each_frame_once(database: Database, batches: list[list[int]]) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
    frames = [make_verdict(active, at=NOON + number * 40 * SECOND, score=number / 10) for number in range(10)]
    new = 0
    for batch in batches:
        with database.begin() as session:
            new += len(verdicts.record(session, [frames[number] for number in batch]))
    expected = sorted({number for batch in batches for number in batch}, reverse=True)
    with database.read() as session:
        assert verdicts.recent(session, active.station_id) == [frames[number] for number in expected]
        assert verdicts.count(session, active.station_id) == new == len(expected)


@pytest.mark.parametrize(
    "change",
    [
        {"score": math.nan},
        {"score": math.inf},
        {"threshold": math.nan},
        {"review_limit": math.nan},
        {"components": {"patch": math.nan}},
        {"score": None},
        {"model_id": None},
        {"decision": "no_reference"},
        {"decision": "bad_picture"},
        {"decision": "bad_picture", "picture_problem": "dark"},
        {"picture_problem": "dark"},
    ],
)
def test_an_invalid_verdict_is_refused(database: Database, change: dict[str, object]) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
    with pytest.raises(InvalidChange), database.begin() as session:
        verdicts.record(session, [make_verdict(active), replace(make_verdict(active), **change)])  # type: ignore[arg-type]
    with database.read() as session:
        assert verdicts.count(session) == 0


def test_a_review_limit_without_a_score_is_refused(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
    unscored = replace(make_verdict(active, decision="no_reference"), review_limit=0.3)
    with pytest.raises(InvalidChange), database.begin() as session:
        verdicts.record(session, [unscored])


def add_frames_of_three_stations(database: Database) -> list[list[Verdict]]:
    """Ten frames a second apart at two stations, every third flagged, and a station without any."""
    with database.begin() as session:
        frames = []
        for _ in range(2):
            active = add_active_set(session, add_station(session))
            frames.append(
                [
                    make_verdict(active, at=NOON + n * SECOND, decision="pass" if n % 3 else "flag", score=n / 10)
                    for n in range(10)
                ]
            )
            verdicts.record(session, frames[-1])
        add_station(session)
    return frames


def test_recent_verdicts_are_newest_first_and_can_be_filtered(database: Database) -> None:
    first, second = add_frames_of_three_stations(database)
    station_id = first[0].station_id
    with database.read() as session:
        assert verdicts.recent(session, station_id) == first[::-1]
        assert verdicts.recent(session, station_id, limit=2, offset=3) == [first[6], first[5]]
        assert verdicts.recent(session, station_id, decision="flag") == [first[9], first[6], first[3], first[0]]
        # `since` belongs to the range, `until` does not
        assert verdicts.recent(session, station_id, since=NOON + SECOND, until=NOON + 3 * SECOND) == [
            first[2],
            first[1],
        ]
        assert {verdict.frame_id for verdict in verdicts.recent(session, limit=2)} == {
            first[9].frame_id,
            second[9].frame_id,
        }
        assert verdicts.recent(session, decision="no_reference") == []


def test_frames_of_equal_time_are_in_the_order_of_recording(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
        ids = [UUID(int=3), UUID(int=2), UUID(int=1)]
        for frame_id in ids:
            verdicts.record(session, [make_verdict(active, frame_id=frame_id)])
        found = verdicts.recent(session, active.station_id)
    assert [verdict.frame_id for verdict in found] == ids[::-1]


def test_there_is_one_summary_per_station(database: Database) -> None:
    first, second = add_frames_of_three_stations(database)
    with database.begin() as session:
        third = add_station(session)
        parked_frames.park(session, [make_parked_frame(third)])
        late_frame = replace(first[0], frame_id=uuid4(), captured_at=NOON - SECOND, score=0.99)
        verdicts.record(session, [late_frame])
    with database.read() as session:
        one, two, empty, waiting = station_summaries.list_all(session, NOON + 5 * SECOND, 3)
    assert (one.latest, one.frames, one.flagged, one.no_reference) == (late_frame, 5, 2, 0)
    assert one.recent_scores == pytest.approx((0.7, 0.8, 0.9))
    assert (two.latest, two.frames) == (second[9], 5)
    assert (empty.latest, empty.frames, empty.recent_scores) == (None, 0, ())
    assert (waiting.station_id, waiting.parked, waiting.latest) == (third.id, 1, None)


def test_the_latest_frame_of_a_silent_station_is_in_its_summary(database: Database) -> None:
    first, _ = add_frames_of_three_stations(database)
    with database.read() as session:
        summary = station_summaries.list_all(session, NOON + timedelta(days=2), 10)[0]
    assert (summary.latest, summary.frames, summary.recent_scores) == (first[9], 0, ())


def record_repeatedly(url: str, station_id: int, shared: list[UUID], barrier: Barrier) -> None:
    database = Database(url)
    with database.read() as session:
        template = verdicts.get(session, shared[0])
    barrier.wait(120)
    for frame_id in shared:
        with database.begin() as session:
            batch = [replace(template, frame_id=each) for each in (frame_id, uuid4(), uuid4())]
            assert verdicts.count(session) >= 0  # reads first, as workers do: a late write lock would fail here
            verdicts.record(session, batch)
    database.close()


def test_two_processes_record_verdicts_concurrently(database: Database, database_url: str) -> None:
    shared = [uuid4() for _ in range(20)]
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
        verdicts.record(session, [make_verdict(active, frame_id=shared[0])])
    barrier = forkserver.Barrier(2)
    arguments = (database_url, active.station_id, shared, barrier)
    processes = [forkserver.Process(target=record_repeatedly, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0]
    with database.read() as session:
        # 20 shared frames once, and two of its own in each of the 20 batches of each process
        assert verdicts.count(session) == len(verdicts.recent(session, limit=1000)) == 20 + 2 * 20 * 2


def test_the_latest_verdict_is_the_one_that_was_recorded_last_whatever_its_time_of_capture(database: Database) -> None:
    with database.begin() as session:
        of = add_active_set(session, add_station(session))
        recorded = [make_verdict(of, at=NOON + hours * timedelta(hours=1)) for hours in (0, 24, -2)]
        for verdict in recorded:
            verdicts.record(session, [verdict])
        empty = add_station(session)
    with database.read() as session:
        assert verdicts.latest(session, of.station_id) == recorded[-1]
        assert verdicts.latest(session, empty.id) is None
        assert [summary.latest for summary in station_summaries.list_all(session, NOON, 3)] == [recorded[-1], None]


@pytest.mark.parametrize(
    ("published_s", "arrived_s"),
    [(-1, -1), (0, 0), (-1800, -1800), (-1801, 0), (-7200, 0), (1, 0), (10_800, 0)],
)
def test_a_frame_arrived_when_it_was_published_or_decided_if_that_can_not_be_believed(
    published_s: int, arrived_s: int
) -> None:
    assert arrival(NOON + published_s * SECOND, NOON) == NOON + arrived_s * SECOND
