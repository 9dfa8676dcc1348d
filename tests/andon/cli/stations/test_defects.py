"""The defect sets of a station on the command line, and which threshold is in force beside them."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from storage.database.engine import Database
from storage.learning import defect_sets
from storage.learning.defect_sets import DefectSet
from storage.line import normal_sets, stations, thresholds
from storage.line.normal_sets import NormalImage
from storage.line.thresholds import Threshold
from testing.command_line import Andon

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def record(workplace: Path, versions: int) -> None:
    """Record a normal set with a threshold, and so many defect sets in use with one each."""
    database = Database(f"sqlite:///{workplace / '.andon' / 'andon.db'}")
    with closing(database), database.begin() as session:
        station_id = stations.get(session, "s1").id
        images = [NormalImage(f"sha256:{number:064x}", str(number)) for number in range(2)]
        normal_set = normal_sets.add(session, station_id, images, "", NOON)
        normal_sets.activate(session, station_id, 1, NOON)
        plain = Threshold(station_id, normal_set.id, "m", 0.5, 0.01, "", NOON, "w1")
        thresholds.record(session, plain)
        for number in range(versions):
            head = f"m with head {number}"
            made = DefectSet(
                station_id, 0, normal_set.id, "m", head, (UUID(int=number),), 99, 1, 0, True, "", NOON, "w1"
            )
            defect_sets.record(session, made, b"12345678")
            thresholds.record(session, replace(plain, model_id=head))


def test_a_station_without_labelled_defects_has_none(andon: Andon) -> None:
    andon("station", "add", "s1")
    listed = andon("defects", "list", "s1")
    assert (listed.code, listed.out) == (0, "")
    assert json.loads(andon("defects", "list", "s1", "--json").out) == []


def test_the_newest_defect_set_is_in_use_and_its_threshold_in_force(andon: Andon, workplace: Path) -> None:
    andon("station", "add", "s1")
    record(workplace, versions=2)
    newest, first = json.loads(andon("defects", "list", "s1", "--json").out)
    assert (newest["version"], newest["in_use"], first["version"], first["in_use"]) == (2, True, 1, False)
    assert newest["defects"] == [str(UUID(int=1))]
    shown = json.loads(andon("threshold", "show", "s1", "--json").out)
    in_force = {one["model_id"]: one["in_force"] for one in shown}
    assert in_force == {"m": False, "m with head 0": False, "m with head 1": True}


def test_a_station_can_be_told_not_to_learn_from_defects(andon: Andon) -> None:
    andon("station", "add", "s1")
    assert "learn_defects" in andon("station", "edit", "s1", "--no-learn-defects").out
    assert json.loads(andon("station", "show", "s1", "--json").out)["learn_defects"] is False
