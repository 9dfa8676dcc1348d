import multiprocessing
from datetime import timedelta
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from storage.database.engine import Database
from storage.database.tables import NormalImageRow, NormalSetRow
from storage.errors import InvalidChange, NotFound
from storage.line import normal_sets
from tests.storage.examples import NOON, a_station, an_active_set, good_images

LATER = NOON + timedelta(hours=1)
EVEN_LATER = NOON + timedelta(hours=2)


def test_versions_are_numbered_and_start_as_drafts(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        first = normal_sets.add(session, station.id, good_images(), "first light", NOON)
        second = normal_sets.add(session, station.id, good_images(5, 64), "", LATER)
    assert (first.version, first.state, first.note, first.images) == (1, "draft", "first light", tuple(good_images()))
    with database.read() as session:
        assert normal_sets.list_all(session, station.id) == [second, first]
        assert normal_sets.active(session, station.id) is None
        assert normal_sets.active_ids(session) == {}


@pytest.mark.parametrize("how_many", [0, 1, 65])
def test_a_set_has_two_to_sixty_four_images(database: Database, how_many: int) -> None:
    with database.begin() as session:
        station = a_station(session)
        with pytest.raises(InvalidChange):
            normal_sets.add(session, station.id, good_images(0, how_many), "", NOON)


def test_the_same_image_twice_is_refused(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        with pytest.raises(InvalidChange):
            normal_sets.add(session, station.id, good_images() + good_images(), "", NOON)


def test_activating_retires_the_one_that_was(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        an_active_set(session, station)
        second = normal_sets.add(session, station.id, good_images(2), "", NOON)
        activated = normal_sets.activate(session, station.id, second.version, LATER)
    assert (activated.state, activated.activated_at, activated.retired_at) == ("active", LATER, None)
    with database.read() as session:
        first = normal_sets.get(session, station.id, 1)
        assert (first.state, first.retired_at) == ("retired", LATER)
        assert normal_sets.active(session, station.id) == activated
        assert normal_sets.active_ids(session) == {station.id: second.id}


def test_activating_the_active_one_changes_nothing(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        active = an_active_set(session, station)
        assert normal_sets.activate(session, station.id, 1, LATER) == active


def test_rolling_back_twice_comes_back(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        an_active_set(session, station)
        with pytest.raises(InvalidChange):
            normal_sets.rollback(session, station.id, LATER)
        normal_sets.add(session, station.id, good_images(2), "", NOON)
        normal_sets.activate(session, station.id, 2, LATER)
        assert normal_sets.rollback(session, station.id, EVEN_LATER).version == 1
        assert normal_sets.rollback(session, station.id, EVEN_LATER + timedelta(seconds=1)).version == 2


def test_an_unknown_normal_set_or_station_is_reported(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        with pytest.raises(NotFound):
            normal_sets.activate(session, station.id, 4, NOON)
        with pytest.raises(NotFound):
            normal_sets.add(session, 999, good_images(), "", NOON)


@pytest.mark.parametrize(
    "change", ["UPDATE normal_images SET image_reference = 'sha256:0'", "DELETE FROM normal_images"]
)
def test_images_of_a_set_can_not_change_even_by_hand(database: Database, change: str) -> None:
    with database.begin() as session:
        normal_sets.add(session, a_station(session).id, good_images(), "", NOON)
    with pytest.raises(IntegrityError, match="a normal set is immutable"), database.begin() as session:
        session.execute(text(change))


def test_no_image_joins_a_set_once_it_was_active(database: Database) -> None:
    with database.begin() as session:
        active = an_active_set(session, a_station(session))
    late = {"normal_set_id": active.id, "image_reference": f"sha256:{'f' * 64}", "name": "late"}
    with pytest.raises(IntegrityError, match="a normal set is immutable"), database.begin() as session:
        session.execute(insert(NormalImageRow).values(late))


def test_the_database_itself_refuses_a_second_active_set(database: Database) -> None:
    with database.begin() as session:
        station = a_station(session)
        an_active_set(session, station)
    second = {"station_id": station.id, "version": 2, "state": "active", "note": "", "created_at": NOON}
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(insert(NormalSetRow).values(second))


def activate_again_and_again(url: str, station_id: int, version: int, together: Barrier) -> None:
    database = Database(url)
    together.wait(120)
    for _ in range(20):
        with database.begin() as session:
            normal_sets.activate(session, station_id, version, NOON)
    database.close()


def test_two_processes_activating_at_once_leave_one_active(database: Database, database_url: str) -> None:
    with database.begin() as session:
        station = a_station(session)
        normal_sets.add(session, station.id, good_images(), "", NOON)
        normal_sets.add(session, station.id, good_images(2), "", NOON)
    spawning = multiprocessing.get_context("spawn")
    together = spawning.Barrier(2)
    processes = [
        spawning.Process(target=activate_again_and_again, args=(database_url, station.id, version, together))
        for version in (1, 2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0]
    with database.read() as session:
        states = sorted(each.state for each in normal_sets.list_all(session, station.id))
    assert states == ["active", "retired"]
