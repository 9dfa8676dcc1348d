"""Masks: their form, what is refused, and their versions."""

import json
from typing import Any

import pytest

from storage.actions import masks as mask_actions
from storage.areas import masks
from storage.areas.masks import Mask, mask_from_json
from storage.auth.actors import Actor, Role
from storage.database.engine import Database
from storage.errors import InvalidChange, NotFound, PermissionDenied
from storage.line import stations
from tests.storage.examples import NOON, add_station

CORNER = ((0.0, 0.0), (0.2, 0.0), (0.2, 0.1))
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
ENGINEER = Actor("ada", Role.ENGINEER)


def test_a_mask_reads_back_from_its_json() -> None:
    mask = Mask((CORNER,), (WHOLE,))
    assert mask_from_json(json.loads(json.dumps(mask.to_json()))) == mask
    assert mask_from_json({}) == Mask()
    assert mask_from_json({}).is_empty


@pytest.mark.parametrize(
    "value",
    [
        [],
        "mask",
        {"ignore": []},
        {"ignored": {}},
        {"ignored": [[[0, 0], [1, 1]]]},
        {"ignored": [[[0, 0], [1, 1], [2, 0]]]},
        {"ignored": [[[0, 0], [1, 1], [float("nan"), 0]]]},
        {"ignored": [[[0, 0], [1, 1], ["0", 0]]]},
        {"ignored": [[[0, 0], [1, 1], [True, 0]]]},
        {"ignored": [[[0, 0], [1, 1], [0]]]},
        {"region_of_interest": [CORNER] * 51},
    ],
)
def test_another_form_is_refused(value: Any) -> None:
    with pytest.raises(InvalidChange):
        mask_from_json(value)


@pytest.mark.parametrize(
    "mask",
    [
        Mask(ignored=(WHOLE,)),
        Mask(ignored=(CORNER,), region_of_interest=(CORNER,)),
        Mask(region_of_interest=(((0.5, 0.5), (0.5001, 0.5), (0.5001, 0.5001)),)),
    ],
)
def test_a_mask_that_covers_everything_is_refused(database: Database, mask: Mask) -> None:
    with database.begin() as session:
        station = add_station(session)
        with pytest.raises(InvalidChange):
            masks.record(session, station.id, mask, NOON, "ada")
        assert stations.get(session, station.name).mask_version == 0


def test_versions_are_kept_and_the_newest_is_in_force(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        first = mask_actions.set_mask(session, ENGINEER, station.name, Mask((CORNER,)), NOON, "serial number")
        assert first is not None
        assert mask_actions.set_mask(session, ENGINEER, station.name, Mask((CORNER,)), NOON) is None
        mask_actions.set_mask(session, ENGINEER, station.name, Mask(), NOON)
    with database.read() as session:
        assert stations.get(session, station.name).mask_version == 2
        assert stations.by_names(session, [station.name])[0].mask_version == 2
        assert masks.mask_of(session, station.id, 1) == Mask((CORNER,))
        assert masks.mask_of(session, station.id, 2) == masks.mask_of(session, station.id, 0) == Mask()
        assert [one.version for one in masks.history(session, station.id)] == [2, 1]
        with pytest.raises(NotFound):
            masks.get(session, station.id, 3)


def test_only_who_may_edit_a_station_sets_its_mask(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session)
        with pytest.raises(PermissionDenied):
            mask_actions.set_mask(session, Actor("ivo", Role.INSPECTOR), station.name, Mask((CORNER,)), NOON)
