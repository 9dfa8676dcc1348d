"""Detectors that other packages add through entry points."""

from importlib.metadata import EntryPoint

import pytest

from foundation.errors import PluginError
from scorer.detectors import plugins, registry
from scorer.detectors.nearest_patch import NearestPatch
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings

pytestmark = pytest.mark.usefixtures("one_thread")


class MeanPatch(NearestPatch):
    """A method of another package."""

    name = "mean-patch"


def load_mean_patch(settings: ScorerSettings) -> MeanPatch:
    return MeanPatch()


def load_broken(settings: ScorerSettings) -> MeanPatch:
    raise RuntimeError("no licence")


def load_something_else(settings: ScorerSettings) -> str:
    return "not a method"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register detectors of another package."""
    points = [
        EntryPoint(name, f"{__name__}:{function}", plugins.ENTRY_POINT_GROUP)
        for name, function in [
            ("mean-patch", "load_mean_patch"),
            ("broken", "load_broken"),
            ("something-else", "load_something_else"),
            ("missing", "nothing"),
            ("spade", "load_broken"),
        ]
    ]

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        return [point for point in points if point.group == group and name in (None, point.name)]

    monkeypatch.setattr("foundation.plugins.entry_points", entry_points)


def settings_for(name: str) -> ScorerSettings:
    return ScorerSettings(detector=name, device="cpu", engine="torch", precision="fp32")


def test_a_detector_of_another_package_loads_by_its_name() -> None:
    assert "mean-patch" in registry.detector_names()
    detector = registry.load(settings_for("mean-patch"), Framing())
    assert detector.name == "mean-patch"


@pytest.mark.parametrize("name", ["broken", "something-else", "missing"])
def test_a_failing_plugin_is_named(name: str) -> None:
    with pytest.raises(PluginError, match=f"'{name}'"):
        registry.load(settings_for(name), Framing())


def test_a_plugin_cannot_replace_a_built_in_detector() -> None:
    assert registry.load(settings_for("spade"), Framing()).name == "spade"
