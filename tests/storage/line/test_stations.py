import pytest

from storage.database.engine import Database
from storage.errors import InvalidChange, NotFound
from storage.line import stations
from storage.line.stations import StationSettings
from tests.storage.examples import NOON, add_station

SETTINGS = StationSettings("solar cell", "no_reference", "stretch", 0.002, 5.5, 40, "12", 15)


def test_a_station_reads_back_as_it_was_added(database: Database) -> None:
    with database.begin() as session:
        added = stations.add(session, "cell-1.left_side", SETTINGS, NOON)
    with database.read() as session:
        assert stations.get(session, "cell-1.left_side") == added
    assert added.settings == SETTINGS
    assert added.created_at == NOON


@pytest.mark.parametrize("name", ["", "Line", "a b", "a/b", "..", "é", "s1\n", "x" * 65, "s\0"])
def test_an_invalid_name_is_refused(database: Database, name: str) -> None:
    with pytest.raises(InvalidChange), database.begin() as session:
        stations.add(session, name, StationSettings(), NOON)


def test_a_duplicate_name_is_refused_and_the_transaction_continues(database: Database) -> None:
    with database.begin() as session:
        add_station(session, "s1")
        with pytest.raises(InvalidChange):
            add_station(session, "s1")
        add_station(session, "s2")
    with database.read() as session:
        assert [station.name for station in stations.list_all(session)] == ["s1", "s2"]


def test_an_unknown_station_is_not_found(database: Database) -> None:
    with database.begin() as session:
        with pytest.raises(NotFound):
            stations.get(session, "s3")
        add_station(session, "s2")
        add_station(session, "s1")
        with pytest.raises(NotFound):
            stations.get(session, "s3")


def test_settings_can_be_edited(database: Database) -> None:
    with database.begin() as session:
        add_station(session, "s1")
        stations.edit(session, "s1", SETTINGS)
    with database.read() as session:
        assert stations.get(session, "s1").settings == SETTINGS


@pytest.mark.parametrize(
    "invalid",
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
        StationSettings(reviews_per_shift=-1),
        StationSettings(reviews_per_shift=stations.MAX_REVIEWS_PER_SHIFT + 1),
        StationSettings(bit_depth="11"),  # type: ignore[arg-type]
    ],
)
def test_invalid_settings_are_refused(database: Database, invalid: StationSettings) -> None:
    with database.begin() as session:
        add_station(session, "s1")
        with pytest.raises(InvalidChange):
            stations.edit(session, "s1", invalid)
        with pytest.raises(InvalidChange):
            stations.add(session, "s2", invalid, NOON)


def test_stations_are_found_by_names_or_ids(database: Database) -> None:
    with database.begin() as session:
        first, second, _ = (add_station(session, name) for name in ("s2", "s1", "s3"))
    with database.read() as session:
        assert [station.name for station in stations.by_names(session, ["s2", "s1", "s9"])] == ["s1", "s2"]
        assert stations.names_of(session, [first.id, second.id, 99]) == {first.id: "s2", second.id: "s1"}
        assert stations.by_names(session, []) == []
