"""Detectors of other installed packages, found by their entry points.

A package names a factory in its pyproject.toml; the name before the equals sign is the detector's:

    [project.entry-points."andon.detectors"]
    mean-patch = "my_package.mean_patch:load"

The factory takes `ScorerSettings` and returns a `PatchMethod` or a `WholeImageMethod`.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from scorer.detectors.patch_method import PatchMethod
from scorer.detectors.whole_image import WholeImageMethod
from scorer.errors import PluginFailed, ScorerError
from scorer.settings import ScorerSettings

ENTRY_POINT_GROUP = "andon.detectors"


@cache
def installed_detectors() -> Mapping[str, EntryPoint]:
    """Return the entry points of installed packages by detector name; nothing of them is imported yet."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def load_method(name: str, settings: ScorerSettings) -> PatchMethod | WholeImageMethod[Any]:
    """Import another package's detector and call its factory.

    Raises `PluginFailed`, which names the detector and its package, whatever goes wrong in there but our own errors.
    """
    point = installed_detectors()[name]
    package = point.dist.name if point.dist else point.module
    try:
        method = point.load()(settings)
    except ScorerError:
        raise
    except Exception as error:  # another package's code may raise anything
        raise PluginFailed(
            f"The detector {name} of the package {package} cannot be loaded ({type(error).__name__}: {error}); update "
            "or uninstall that package, or choose another scorer.detector."
        ) from error
    if not isinstance(method, PatchMethod | WholeImageMethod):
        raise PluginFailed(
            f"The detector {name} of the package {package} is a {type(method).__name__}, neither a PatchMethod nor "
            "a WholeImageMethod; update or uninstall that package, or choose another scorer.detector."
        )
    return method
