"""A threshold belongs to the references that it was calibrated from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from imaging.rgb import RgbImage
from scorer.detectors import registry
from scorer.detectors.protocol import References
from scorer.images import RetriableImageStore
from scorer.imaging.framing import Framing
from scorer.recipes.in_force import InForce
from scorer.recipes.loader import RecipeLoader
from scorer.recipes.recipe import Recipe
from scorer.settings import ScorerSettings
from storage.actions import thresholds as threshold_actions
from storage.auth.actors import Actor, Role
from storage.line import normal_sets, stations, thresholds
from storage.line.stations import StationSettings
from storage.line.thresholds import Threshold
from testing.line import START, Line

pytestmark = pytest.mark.usefixtures("one_thread")

ENGINEER = Actor("ada", Role.ENGINEER)


class DetectorWithTexts:
    """Scores every normal with the length of the object's name."""

    name, weights_sha256, model_id = "texts", None, "m1"

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        scores = tuple(float(len(object_name)) for _ in normals)
        return References(self.model_id, {"texts": torch.zeros(1)}, scores)

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width


class DetectorWithoutTexts(DetectorWithTexts):
    """Declares that the object's name has no effect."""

    uses_object_name = False

    def references(self, normals: Sequence[RgbImage], object_name: str) -> References:
        return super().references(normals, "part")


class Loading:
    """A line with one station, whose recipe is loaded each time as by a worker that has just started."""

    def __init__(self, folder: Path, detector: Any) -> None:
        self.line = Line(folder)
        self.line.add_station("s1")
        self.line.add_normal_set("s1")
        self._detector = detector

    def recipe(self) -> Recipe:
        def load(settings: ScorerSettings, framing: Framing) -> Any:
            return self._detector

        images = RetriableImageStore(self.line.images)
        loader = RecipeLoader(self.line.database, images, self.line.settings, "w1", lambda: START, load)
        with self.line.database.read() as session:
            station = stations.get(session, "s1")
            active = normal_sets.active(session, station.id)
            assert active is not None
            in_force = InForce.read(session, [active.id])
        recipe = loader.recipe(station, active, in_force)
        assert loader.recipe(station, active) == recipe
        return recipe

    def rename(self, object_name: str) -> None:
        with self.line.database.begin() as session:
            stations.edit(session, "s1", StationSettings(object_name=object_name, sample_one_in=0))

    def history(self) -> list[Threshold]:
        with self.line.database.read() as session:
            return thresholds.history(session, stations.get(session, "s1").id)


def test_a_renamed_object_recalibrates_a_detector_with_texts_and_the_history_says_why(tmp_path: Path) -> None:
    loading = Loading(tmp_path, DetectorWithTexts())
    before = loading.recipe().threshold
    loading.rename("hazelnut")
    after = loading.recipe().threshold
    assert after.value / before.value == pytest.approx(8 / 4)
    assert loading.recipe().threshold == after
    assert loading.history() == [after, before]
    assert (before.reason, "hazelnut" in after.reason) == ("", True)


def test_a_renamed_object_leaves_the_threshold_of_a_detector_without_texts(tmp_path: Path) -> None:
    loading = Loading(tmp_path, DetectorWithoutTexts())
    before = loading.recipe().threshold
    loading.rename("hazelnut")
    assert loading.recipe().threshold == before
    assert loading.history() == [before]


def test_a_threshold_set_by_hand_stays_until_the_references_change(tmp_path: Path) -> None:
    loading = Loading(tmp_path, DetectorWithTexts())
    loading.recipe()
    with loading.line.database.begin() as session:
        threshold_actions.set_manually(session, ENGINEER, "s1", 0.7, "by eye", START)
    assert (loading.recipe().threshold.value, loading.recipe().threshold.kind) == (0.7, "manual")
    loading.rename("hazelnut")
    assert loading.recipe().threshold.kind == "calibrated"
    assert len(loading.history()) == 3


@pytest.mark.parametrize(
    ("detector", "kind", "stays"),
    [
        (DetectorWithTexts(), "calibrated", False),
        (DetectorWithTexts(), "manual", True),
        (DetectorWithTexts(), "reviewed", True),
        (DetectorWithoutTexts(), "calibrated", True),
    ],
)
def test_of_a_threshold_from_before_digests_only_one_that_costs_nothing_is_made_again(
    tmp_path: Path, detector: Any, kind: Any, stays: bool
) -> None:
    loading = Loading(tmp_path, detector)
    old = replace(loading.recipe().threshold, value=0.7, review_limit=0.7, kind=kind, references_digest=None)
    with loading.line.database.begin() as session:
        thresholds.record(session, old)
    assert (loading.recipe().threshold == old) == stays


@pytest.mark.parametrize("name", ["nearest-patch", "patchcore"])
def test_a_detector_that_compares_patches_has_no_texts(tmp_path: Path, name: str) -> None:
    settings = ScorerSettings(detector=name, backbone="filterbank", device="cpu", engine="torch")
    assert getattr(registry.load(settings, Framing()), "uses_object_name", True) is False
