"""Which sources there are; a new one is a file in this folder and a line in `SOURCES`."""

from collections.abc import Callable, Mapping

from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources.folder.folder import open_folder
from ingest.sources.protocol import Source
from ingest.sources.replay import open_replay
from ingest.sources.simulated.line import open_simulated
from ingest.sources.video.recording import open_video

SOURCES: Mapping[str, Callable[[str, str, IngestSettings], Source]] = {
    "folder": open_folder,
    "video": open_video,
    "replay": open_replay,
    "simulated": open_simulated,
}


def open_source(where: str, station: str, settings: IngestSettings) -> Source:
    """Open ``KIND:WHERE``, such as ``folder:/mnt/camera1`` or ``simulated:brick?seed=3``, for a station.

    Raises `SourceError` for a kind that doesn't exist and for a place that can't be opened.
    """
    kind, colon, place = where.partition(":")
    if not colon or kind not in SOURCES:
        raise SourceError(f"There is no source {where!r}; write one of {', '.join(f'{kind}:…' for kind in SOURCES)}.")
    if not place:
        raise SourceError(f"The source {where!r} names no place; write what to read after the colon.")
    return SOURCES[kind](place, station, settings)
