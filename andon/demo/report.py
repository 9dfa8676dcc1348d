"""The final report of the demo: frames, verdicts, caught defects and latencies per station."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from uuid import UUID

from rich.box import SIMPLE_HEAD
from rich.table import Table

from storage.alerts.alerts import Alert
from storage.line.verdicts import Verdict

GOOD = "good"
HEADINGS = ("frames\nin", "verdicts", "flagged", "defects\ncaught", "escapes", "false\nrejects", "p50\nms", "p95\nms")


@dataclass(frozen=True, slots=True)
class DemoFrame:
    """A frame as it is on the bus."""

    frame_id: UUID
    station: str
    truth: str | None


@dataclass(frozen=True, slots=True)
class StationReport:
    """One station's row; latencies are from trigger (capture) to verdict, None where nothing was decided."""

    station: str
    frames_in: int
    verdicts: int
    flagged: int
    defects: int
    defects_caught: int
    escapes: int
    false_rejects: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None

    @property
    def without_verdict(self) -> int:
        """Frames on the bus that have no verdict."""
        return self.frames_in - self.verdicts


def quantile(ordered: Sequence[float], fraction: float) -> float | None:
    """Return the smallest value that at least `fraction` of the ordered values do not exceed; None without values."""
    return ordered[max(ceil(fraction * len(ordered)) - 1, 0)] if ordered else None


def report(stations: Sequence[str], frames: Iterable[DemoFrame], verdicts: Iterable[Verdict]) -> list[StationReport]:
    """Match frames with verdicts by frame id, so that a lost frame and an extra verdict can't cancel out."""
    decided = {verdict.frame_id: verdict for verdict in verdicts}
    frames = list(frames)
    return [_station_report(name, [frame for frame in frames if frame.station == name], decided) for name in stations]


def _station_report(station: str, frames: Sequence[DemoFrame], decided: dict[UUID, Verdict]) -> StationReport:
    matched = [(frame, decided[frame.frame_id]) for frame in frames if frame.frame_id in decided]
    flagged_defects = sum(1 for frame, verdict in matched if frame.truth != GOOD and verdict.decision == "flag")
    passed_defects = sum(1 for frame, verdict in matched if frame.truth != GOOD and verdict.decision == "pass")
    latencies = sorted((verdict.decided_at - verdict.captured_at).total_seconds() * 1000 for _, verdict in matched)
    return StationReport(
        station=station,
        frames_in=len(frames),
        verdicts=len(matched),
        flagged=sum(1 for _, verdict in matched if verdict.decision == "flag"),
        defects=sum(1 for frame in frames if frame.truth != GOOD),
        defects_caught=flagged_defects,
        escapes=passed_defects,
        false_rejects=sum(1 for frame, verdict in matched if frame.truth == GOOD and verdict.decision == "flag"),
        latency_p50_ms=quantile(latencies, 0.50),
        latency_p95_ms=quantile(latencies, 0.95),
    )


def as_table(rows: Sequence[StationReport]) -> Table:
    """Return the table for a terminal, one row per station."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("station")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.station,
            str(row.frames_in),
            str(row.verdicts) if not row.without_verdict else f"[bold red]{row.verdicts}[/]",
            str(row.flagged),
            f"{row.defects_caught} of {row.defects}",
            str(row.escapes),
            str(row.false_rejects),
            _milliseconds(row.latency_p50_ms),
            _milliseconds(row.latency_p95_ms),
        )
    return table


def alert_lines(alerts: Sequence[tuple[str, Alert]]) -> list[str]:
    """Return one sentence per alert, in the order given, or one that reports that none opened."""
    if not alerts:
        return ["No alert was opened."]
    return [
        f"Alert at {name}, {'resolved' if alert.resolved_at else 'open'} ({alert.rule}): {alert.message}"
        for name, alert in alerts
    ]


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
