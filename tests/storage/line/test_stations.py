import pytest

from storage.database.engine import Database
from storage.errors import InvalidChange, NotFound
from storage.line import stations
from storage.line.stations import StationSettings
from tests.storage.examples import NOON, a_station

SETTINGS = StationSettings("solar cell", "no_reference", "stretch", 0.002, 5.5, 40)


def test_a_station_reads_back_as_it_was_added(database: Database) -> None:
    with database.begin() as session:
        added = stations.add(session, "cell-1.left_side", SETTINGS, NOON)
    with database.read() as session:
        assert stations.get(session, "cell-1.left_side") == added
    assert added.settings == SETTINGS
    assert added.created_at == NOON


@pytest.mark.parametrize("name", ["", "Line", "a b", "a/b", "..", "é", "s1\n", "x" * 65, "s\0"])
def test_a_name_that_would_not_travel_is_refused(database: Database, name: str) -> None:
    with pytest.raises(InvalidChange), database.begin() as session:
        stations.add(session, name, StationSettings(), NOON)


def test_a_name_is_taken_once_and_the_transaction_goes_on(database: Database) -> None:
    with database.begin() as session:
        a_station(session, "s1")
        with pytest.raises(InvalidChange):
            a_station(session, "s1")
        a_station(session, "s2")
    with database.read() as session:
        assert [station.name for station in stations.list_all(session)] == ["s1", "s2"]


def test_an_unknown_station_is_answered_with_those_there_are(database: Database) -> None:
    with database.begin() as session:
        with pytest.raises(NotFound):
            stations.get(session, "s3")
        a_station(session, "s2")
        a_station(session, "s1")
        with pytest.raises(NotFound):
            stations.get(session, "s3")


def test_settings_can_be_edited(database: Database) -> None:
    with database.begin() as session:
        a_station(session, "s1")
        stations.edit(session, "s1", SETTINGS)
    with database.read() as session:
        assert stations.get(session, "s1").settings == SETTINGS


@pytest.mark.parametrize(
    "unsound",
    [
        StationSettings(object_name=" "),
        StationSettings(object_name="x" * 121),
        StationSettings(without_normals="drop"),  # type: ignore[arg-type]
        StationSettings(framing="tile"),  # type: ignore[arg-type]
        StationSettings(false_reject_rate=0.0),
        StationSettings(false_reject_rate=1.0),
        StationSettings(stale_after_s=0.0),
        StationSettings(stale_after_s=float("inf")),
        StationSettings(stale_after_s=float("nan")),
        StationSettings(sample_one_in=-1),
    ],
)
def test_unsound_settings_are_refused(database: Database, unsound: StationSettings) -> None:
    with database.begin() as session:
        a_station(session, "s1")
        with pytest.raises(InvalidChange):
            stations.edit(session, "s1", unsound)
        with pytest.raises(InvalidChange):
            stations.add(session, "s2", unsound, NOON)


def test_some_are_found_by_name_or_id_and_what_there_is_not_is_left_out(database: Database) -> None:
    with database.begin() as session:
        first, second, _ = (a_station(session, name) for name in ("s2", "s1", "s3"))
    with database.read() as session:
        assert [station.name for station in stations.by_names(session, ["s2", "s1", "s9"])] == ["s1", "s2"]
        assert stations.names_of(session, [first.id, second.id, 99]) == {first.id: "s2", second.id: "s1"}
        assert stations.by_names(session, []) == []
