from datetime import timedelta
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from storage.database.engine import Database
from storage.database.tables import NormalImageRow, NormalSetRow
from storage.errors import InvalidChange, NotFound
from storage.line import normal_sets, stations
from storage.line.stations import StationSettings
from testing.processes import forkserver
from tests.storage.examples import NOON, add_active_set, add_station, good_images

LATER = NOON + timedelta(hours=1)
EVEN_LATER = NOON + timedelta(hours=2)


def test_versions_are_numbered_and_start_as_drafts(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        first = normal_sets.add(session, station.id, good_images(), "first light", NOON)
        second = normal_sets.add(session, station.id, good_images(5, 64), "", LATER)
    assert (first.version, first.state, first.note, first.images) == (1, "draft", "first light", tuple(good_images()))
    with database.read() as session:
        assert normal_sets.list_all(session, station.id) == [second, first]
        assert normal_sets.active(session, station.id) is None
        assert normal_sets.active_ids(session) == {}


@pytest.mark.parametrize("how_many", [0, 1, 65])
def test_a_normal_set_has_2_to_64_images(database: Database, how_many: int) -> None:
    with database.begin() as session:
        station = add_station(session)
        with pytest.raises(InvalidChange):
            normal_sets.add(session, station.id, good_images(0, how_many), "", NOON)


def test_the_same_image_twice_is_refused(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        with pytest.raises(InvalidChange):
            normal_sets.add(session, station.id, good_images() + good_images(), "", NOON)


def test_activating_a_set_retires_the_previous_one(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        add_active_set(session, station)
        second = normal_sets.add(session, station.id, good_images(2), "", NOON)
        activated = normal_sets.activate(session, station.id, second.version, LATER)
    assert (activated.state, activated.activated_at, activated.retired_at) == ("active", LATER, None)
    with database.read() as session:
        first = normal_sets.get(session, station.id, 1)
        assert (first.state, first.retired_at) == ("retired", LATER)
        assert normal_sets.active(session, station.id) == activated
        assert normal_sets.active_ids(session) == {station.id: second.id}


def test_activating_the_active_set_changes_nothing(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        active = add_active_set(session, station)
        assert normal_sets.activate(session, station.id, 1, LATER) == active


def test_rolling_back_twice_restores_the_set(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        add_active_set(session, station)
        with pytest.raises(InvalidChange):
            normal_sets.rollback(session, station.id, LATER)
        normal_sets.add(session, station.id, good_images(2), "", NOON)
        normal_sets.activate(session, station.id, 2, LATER)
        assert normal_sets.rollback(session, station.id, EVEN_LATER).version == 1
        assert normal_sets.rollback(session, station.id, EVEN_LATER + timedelta(seconds=1)).version == 2


def test_an_unknown_normal_set_or_station_is_reported(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        with pytest.raises(NotFound):
            normal_sets.activate(session, station.id, 4, NOON)
        with pytest.raises(NotFound):
            normal_sets.add(session, 999, good_images(), "", NOON)


@pytest.mark.parametrize(
    "change", ["UPDATE normal_images SET image_reference = 'sha256:0'", "DELETE FROM normal_images"]
)
def test_images_of_a_set_cannot_be_changed_even_by_sql(database: Database, change: str) -> None:
    with database.begin() as session:
        normal_sets.add(session, add_station(session).id, good_images(), "", NOON)
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(text(change))


def test_no_image_is_added_to_an_activated_set(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
    row = {"normal_set_id": active.id, "image_reference": f"sha256:{'f' * 64}", "name": "late"}
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(insert(NormalImageRow).values(row))


def test_the_database_refuses_a_second_active_set(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        add_active_set(session, station)
    second = {"station_id": station.id, "version": 2, "state": "active", "note": "", "created_at": NOON}
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(insert(NormalSetRow).values(second))


def test_the_bit_depth_that_was_learnt_first_is_kept(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        made = normal_sets.add(session, station.id, good_images(), "", NOON)
        assert made.bit_depth is None
        normal_sets.set_bit_depth(session, made.id, 10)
        normal_sets.set_bit_depth(session, made.id, 12)
        assert normal_sets.get(session, station.id, 1).bit_depth == 10
        assert normal_sets.add(session, station.id, good_images(5, 64), "", NOON, bit_depth=8).bit_depth == 8


def test_a_station_s_own_bit_depth_goes_before_the_learnt_one_of_its_active_set(database: Database) -> None:
    with database.begin() as session:
        learnt, chosen, unknown = (add_station(session) for _ in range(3))
        stations.edit(session, chosen.name, StationSettings(bit_depth="14"))
        for station, depth in ((learnt, 10), (chosen, 12), (unknown, None)):
            normal_sets.add(session, station.id, good_images(), "", NOON, depth)
            normal_sets.activate(session, station.id, 1, NOON)
        found = normal_sets.bit_depths(session)
    assert {station.id: found.get(station.id) for station in (learnt, chosen, unknown)} == {
        learnt.id: 10,
        chosen.id: 14,
        unknown.id: None,
    }


def activate_repeatedly(url: str, station_id: int, version: int, barrier: Barrier) -> None:
    database = Database(url)
    barrier.wait(120)
    for _ in range(20):
        with database.begin() as session:
            normal_sets.activate(session, station_id, version, NOON)
    database.close()


def test_concurrent_activations_leave_one_set_active(database: Database, database_url: str) -> None:
    with database.begin() as session:
        station = add_station(session)
        normal_sets.add(session, station.id, good_images(), "", NOON)
        normal_sets.add(session, station.id, good_images(2), "", NOON)
    barrier = forkserver.Barrier(2)
    processes = [
        forkserver.Process(target=activate_repeatedly, args=(database_url, station.id, version, barrier))
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
