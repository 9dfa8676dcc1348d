"""Detectors of other installed packages, found by their entry points.

A package names a factory in its pyproject.toml; the name before the equals sign is the detector's:

    [project.entry-points."andon.detectors"]
    mean-patch = "my_package.mean_patch:load"

The factory takes `ScorerSettings` and returns a `PatchMethod` or a `WholeImageMethod`.
"""

from typing import Any

from foundation.errors import AndonError, PluginError
from foundation.plugins import load_plugin, plugin_names
from scorer.detectors.patch_based.method import PatchMethod
from scorer.detectors.whole_image import WholeImageMethod
from scorer.settings import ScorerSettings

ENTRY_POINT_GROUP = "andon.detectors"


def installed_detectors() -> list[str]:
    """Return the names of the detectors of installed packages; none of them is imported."""
    return plugin_names(ENTRY_POINT_GROUP)


def load_method(name: str, settings: ScorerSettings) -> PatchMethod | WholeImageMethod[Any]:
    """Import another package's detector and call its factory.

    Raises:
        PluginError: The package cannot be imported, or its factory fails or returns something else.
    """
    factory = load_plugin(ENTRY_POINT_GROUP, name)
    try:
        method = factory(settings)  # type: ignore[misc]  # an object that is not callable raises here
    except AndonError:
        raise
    except Exception as error:  # another package's code may raise anything
        raise PluginError(
            f"The detector plug-in {name!r} cannot be loaded ({type(error).__name__}: {error}); update or uninstall "
            "its package, or choose another scorer.detector."
        ) from error
    if not isinstance(method, PatchMethod | WholeImageMethod):
        raise PluginError(
            f"The detector plug-in {name!r} is a {type(method).__name__}, neither a PatchMethod nor a "
            "WholeImageMethod; update or uninstall its package, or choose another scorer.detector."
        )
    return method
