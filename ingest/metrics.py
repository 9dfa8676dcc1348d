"""The Prometheus metrics of sources and producer; `andon.services.metrics_server` serves them."""

import collections
from collections.abc import Iterable

from prometheus_client import Counter, Gauge

FRAMES_PUBLISHED = Counter("andon_frames_published_total", "Frames acknowledged by the bus.", ["station"])
FRAMES_DROPPED = Counter("andon_frames_dropped_total", "Frames lost before the bus, by reason.", ["station", "reason"])
SPOOL_BYTES = Gauge("andon_spool_bytes", "Disk space that the spool uses, in bytes.")
SPOOL_FRAMES = Gauge("andon_spool_frames", "Frames in the spool that are not on the bus yet.")
SOURCE_LAST_FRAME = Gauge(
    "andon_source_last_frame_timestamp_seconds",
    "Time of the source's last frame, in seconds since 1970.",
    ["station"],
)
SOURCE_RECONNECTS = Counter("andon_source_reconnects_total", "Times that a source had to reconnect.", ["station"])
FILES_IGNORED = Counter("andon_files_ignored_total", "Files of a watched folder that are not images.", ["station"])
METADATA_REPAIRED = Counter(
    "andon_metadata_repaired_total",
    "Texts of frames that were shortened or escaped, because they were too long or can't be stored.",
    ["field"],
)


def count_dropped(stations: Iterable[str], reason: str) -> None:
    """Count lost frames by one station name per frame; an empty name where the station is no longer known."""
    for station, frames in collections.Counter(stations).items():
        FRAMES_DROPPED.labels(station, reason).inc(frames)


def dropped_frames() -> dict[tuple[str, str], int]:
    """Return the frames that this process has lost so far, by station and reason."""
    return {
        (sample.labels["station"], sample.labels["reason"]): int(sample.value)
        for family in FRAMES_DROPPED.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
