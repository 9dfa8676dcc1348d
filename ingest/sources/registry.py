"""The sources by kind: those of this package, and those that other packages register.

A package adds a kind by an entry point in the group ``andon.sources`` whose object is an `OpenSource`:

    [project.entry-points."andon.sources"]
    genicam = "my_package.camera:open_genicam"
"""

from collections.abc import Mapping

from foundation.errors import AndonError, PluginError
from foundation.plugins import load_plugin, plugin_names
from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources.folder.folder import open_folder
from ingest.sources.protocol import OpenSource, Source
from ingest.sources.replay import open_replay
from ingest.sources.simulated.line import open_simulated
from ingest.sources.video.address import open_video

ENTRY_POINT_GROUP = "andon.sources"

SOURCES: Mapping[str, OpenSource] = {
    "folder": open_folder,
    "video": open_video,
    "replay": open_replay,
    "simulated": open_simulated,
}
"""Kind → how to open it; another package can't replace one of these."""


def open_source(address: str, station: str, settings: IngestSettings) -> Source:
    """Open ``KIND:LOCATION``, such as ``folder:/mnt/camera1`` or ``simulated:brick?seed=3``, for a station.

    Raises:
        SourceError: No such kind exists, or the location can't be opened.
        PluginError: The kind is another package's, and that package does not work.
    """
    kind, colon, location = address.partition(":")
    if not colon or not kind:
        raise SourceError(f"The source {address!r} has no kind; {_known_kinds()}.")
    built_in = SOURCES.get(kind)
    plugin = None if built_in is not None else load_plugin(ENTRY_POINT_GROUP, kind)
    if built_in is None and plugin is None:
        raise SourceError(f"There is no source of the kind {kind!r}; {_known_kinds()}.")
    if not location:
        raise SourceError(f"The source {address!r} has no location; write what to read after the colon.")
    return (
        _open_plugin(plugin, kind, location, station, settings)
        if built_in is None
        else (built_in(location, station, settings))
    )


def _open_plugin(plugin: object, kind: str, location: str, station: str, settings: IngestSettings) -> Source:
    if not callable(plugin):
        raise PluginError(f"The source plug-in {kind!r} is no function that opens a source; update its package.")
    try:
        source: Source = plugin(location, station, settings)
    except AndonError:
        raise
    except Exception as error:
        raise PluginError(
            f"The source plug-in {kind!r} failed to open {location!r} ({type(error).__name__}: {error}); "
            "check the location, or update its package."
        ) from error
    missing = [name for name in ("frames", "confirm", "close") if not callable(getattr(source, name, None))]
    if missing:
        raise PluginError(f"The source plug-in {kind!r} lacks {', '.join(missing)}; update its package.")
    return source


def _known_kinds() -> str:
    kinds = [*SOURCES, *plugin_names(ENTRY_POINT_GROUP)]
    return f"write one of {', '.join(f'{kind}:…' for kind in kinds)}"
