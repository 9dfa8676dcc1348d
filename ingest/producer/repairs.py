"""Report texts of frames that were shortened or escaped: each is counted, the first of a kind is logged."""

import structlog

from ingest import metrics, schema
from ingest.frame import Frame

log = structlog.get_logger()


class RepairReport:
    """Reports what `schema.encode` repairs in the frames of one producer."""

    def __init__(self) -> None:
        """Start with nothing logged."""
        self._logged: set[str] = set()

    def add(self, frame: Frame) -> None:
        """Report the repaired texts of a frame."""
        for name in schema.repaired_names(frame):
            metrics.METADATA_REPAIRED.labels(name).inc()
            if name not in self._logged:
                self._logged.add(name)
                log.warning(
                    "a text is too long or can't be stored and is shortened or escaped; more like it are only counted",
                    header=name,
                    station=frame.station,
                    part_id=frame.part_id,
                )
