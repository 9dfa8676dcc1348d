"""Prometheus metrics of the scorer; `andon` serves them."""

from prometheus_client import Counter, Gauge, Histogram

FRAMES_READ = Counter("andon_frames_read", "Frames read from the bus, frames read again included.")
VERDICTS = Counter("andon_verdicts", "Verdicts written.", ["station", "decision"])
BORDERLINE = Counter(
    "andon_borderline_frames", "Frames that passed with a score above the review limit, to review.", ["station"]
)
BAD_PICTURES = Counter(
    "andon_bad_pictures", "Frames that do not show the part properly, and were not scored.", ["station", "reason"]
)
DEAD_LETTERS = Counter("andon_dead_letters", "Messages that could not become a verdict.", ["reason"])
FRAMES_DELETED_UNREAD = Counter(
    "andon_frames_deleted_unread", "Frames that were deleted from the bus before they were read."
)
PARKED_FRAMES = Counter("andon_parked_frames", "Frames parked until their station has a normal set.", ["station"])
SCORE = Histogram(
    "andon_score",
    "Anomaly scores.",
    ["station"],
    buckets=(0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
STAGE_SECONDS = Histogram(
    "andon_stage_seconds",
    "Seconds a batch spent in a stage: decode, score, persist, commit.",
    ["stage"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
)
STAGE_FRAMES = Gauge("andon_stage_frames", "Frames in a stage or waiting for it: decode, score, persist.", ["stage"])
TRIGGER_TO_VERDICT_SECONDS = Histogram(
    "andon_trigger_to_verdict_seconds",
    "Seconds from the capture of a frame to its committed verdict.",
    ["station"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0),
)
CONSUMER_LAG_FRAMES = Gauge(
    "andon_consumer_lag_frames",
    "Frames on the bus beyond what was committed, of this scorer's partitions.",
    ["topic", "partition"],
)
GROUP_LAG_FRAMES = Gauge(
    "andon_group_lag_frames",
    "Frames on the whole topic beyond what the scorers have committed, also of partitions that nobody reads; every "
    "scorer reports the same.",
    ["topic"],
)
LAST_FRAME_TIMESTAMP_SECONDS = Gauge(
    "andon_last_frame_timestamp_seconds", "Time of arrival of the newest frame with a verdict.", ["station"]
)
IMPLAUSIBLE_CAPTURE_TIMES = Counter(
    "andon_implausible_capture_times_total",
    "Verdicts on frames whose time of capture can't be true: the camera's clock is wrong.",
    ["station"],
)
DEPENDENCY_UNAVAILABLE = Gauge(
    "andon_dependency_unavailable",
    "1 while the worker waits because this is unavailable: bus, database, images or model.",
    ["cause"],
)
