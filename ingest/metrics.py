"""What this room counts; `andon/services/metrics_server.py` serves it."""

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import Counter, Gauge

FRAMES_PUBLISHED = Counter("andon_frames_published_total", "Frames acknowledged by the bus.", ["station"])
FRAMES_DROPPED = Counter("andon_frames_dropped_total", "Frames lost before the bus, by reason.", ["station", "reason"])
SPOOL_BYTES = Gauge("andon_spool_bytes", "Bytes of disk that the spool takes.")
SPOOL_FRAMES = Gauge("andon_spool_frames", "Frames in the spool that are not on the bus yet.")
SOURCE_LAST_FRAME = Gauge(
    "andon_source_last_frame_timestamp_seconds",
    "When the source last gave a frame, in seconds since 1970.",
    ["station"],
)
SOURCE_RECONNECTS = Counter("andon_source_reconnects_total", "Times a source had to connect again.", ["station"])
FILES_IGNORED = Counter("andon_files_ignored_total", "Files of a watched folder that are no images.", ["station"])


def count_dropped(stations: Iterable[str], reason: str) -> None:
    """Count lost frames, one station's name for each; an empty name where the station can't be told any more."""
    for station, frames in Tally(stations).items():
        FRAMES_DROPPED.labels(station, reason).inc(frames)


def drops() -> dict[tuple[str, str], int]:
    """(station, reason) → frames lost so far in this process."""
    return {
        (sample.labels["station"], sample.labels["reason"]): int(sample.value)
        for family in FRAMES_DROPPED.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
