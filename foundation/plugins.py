"""Plug-ins: what other installed packages add to this project, through the entry points of their packages."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from foundation.errors import PluginError


def plugin_names(group: str) -> list[str]:
    """Return the sorted names that installed packages register in an entry-point group, such as ``andon.sources``."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load_plugin(group: str, name: str) -> Any | None:
    """Import and return the object that an installed package registers under `name`, or None if no package does.

    Raises:
        PluginError: The object can't be imported, or two packages register the same name.
    """
    entries = list(entry_points(group=group, name=name))
    if not entries:
        return None
    if len(entries) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in entries))
        raise PluginError(f"The plug-in {name!r} ({group}) is registered by {packages}; uninstall one of them.")
    try:
        return entries[0].load()
    except Exception as error:  # importing another package's code can raise anything
        raise PluginError(
            f"The plug-in {name!r} ({group}) of {_package(entries[0])} can't be loaded "
            f"({type(error).__name__}: {error}); update or uninstall that package."
        ) from error


def _package(entry: EntryPoint) -> str:
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
