from threading import Event, Thread
from uuid import uuid4

import pytest

from storage.database.engine import Database
from storage.line import parked_frames, verdicts
from tests.storage.examples import add_active_set, add_station, make_parked_frame, make_verdict


def test_a_frame_is_parked_once(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        first, second = make_parked_frame(station), make_parked_frame(station)
        assert parked_frames.park(session, [first, first]) == {first.frame_id}
        assert parked_frames.park(session, [first, second]) == {second.frame_id}
        assert parked_frames.park(session, []) == set()
    with database.begin() as session:
        assert parked_frames.count(session) == parked_frames.count(session, station.id) == 2
        assert parked_frames.count(session, station.id + 1) == 0
        assert parked_frames.claim(session, station.id, 10) == [first, second]
        assert parked_frames.claim(session, station.id, 1) == [first]


def test_a_frame_with_a_verdict_is_not_parked(database: Database) -> None:
    frame_id = uuid4()
    with database.begin() as session:
        station = add_station(session)
        verdicts.record(session, [make_verdict(add_active_set(session, station), frame_id=frame_id)])
        assert parked_frames.park(session, [make_parked_frame(station, frame_id)]) == set()


def test_a_station_is_ready_when_frames_wait_and_a_set_is_active(database: Database) -> None:
    with database.begin() as session:
        waiting, ready, idle = (add_station(session) for _ in range(3))
        parked_frames.park(session, [make_parked_frame(waiting), make_parked_frame(ready), make_parked_frame(ready)])
        add_active_set(session, ready)
        add_active_set(session, idle)
    with database.read() as session:
        assert parked_frames.stations_ready(session) == [ready.id]


def test_released_frames_are_gone(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        first, second = make_parked_frame(station), make_parked_frame(station)
        parked_frames.park(session, [first, second])
        parked_frames.release(session, [first.frame_id])
        parked_frames.release(session, [])
        assert parked_frames.claim(session, station.id, 10) == [second]


@pytest.mark.postgres
def test_two_workers_on_postgres_claim_different_frames(postgres_url: str) -> None:
    database = Database(postgres_url)
    database.upgrade()
    with database.begin() as session:
        station = add_station(session)
        frames = [make_parked_frame(station) for _ in range(4)]
        parked_frames.park(session, frames)
    claimed, finish = Event(), Event()
    first_claim: list[parked_frames.ParkedFrame] = []

    def claim_and_hold() -> None:
        with database.begin() as session:
            first_claim.extend(parked_frames.claim(session, station.id, 2))
            claimed.set()
            assert finish.wait(30)

    other = Thread(target=claim_and_hold)
    other.start()
    assert claimed.wait(30)
    with database.begin() as session:
        second_claim = parked_frames.claim(session, station.id, 10)
    finish.set()
    other.join(30)
    database.close()
    assert (first_claim, second_claim) == (frames[:2], frames[2:])
