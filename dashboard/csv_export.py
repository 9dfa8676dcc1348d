"""Tables as files: CSV that a spreadsheet opens without running anything that somebody typed into it."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from alerts.kpis.kpis import KpiRow
from alerts.statistics.confidence_intervals import Estimate
from storage.auth.audit_log import AuditEntry

RUNS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a text that begins so for a formula
AUDIT = ("id", "at", "actor", "role", "action", "station", "subject", "before", "after", "reason")
COUNTED = ("frames", "flagged", "caught", "false_alarms", "confirmed", "escaped", "sampled_good", "sampled_defects")
FIGURES = ("first_pass_yield", "flagged_ppm", "dpmo")
ESTIMATES = ("false_alarm_share", "false_reject_rate", "escape_rate", "escape_ppm")
KPIS = (
    *("group", "station", "since", "until", *COUNTED, *FIGURES),
    *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")),
)


def table(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """CSV in UTF-8 with a mark that spreadsheets know it by; times are RFC 3339 in UTC, what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def audit(entries: Iterable[AuditEntry]) -> bytes:
    """The audit log; what was before and after as JSON."""
    return table(AUDIT, (_of_entry(entry) for entry in entries))


def kpis(rows: Iterable[KpiRow]) -> bytes:
    """A KPI table, under the names that `andon kpi --csv` uses."""
    return table(KPIS, (of_kpis(row) for row in rows))


def of_kpis(row: KpiRow) -> dict[str, object]:
    """One row with each estimate as three numbers, None where it can't be said."""
    flat: dict[str, object] = {"group": row.group, "station": row.station, "since": row.since, "until": row.until}
    flat |= {name: getattr(row.kpis.counts, name) for name in COUNTED}
    flat |= {name: getattr(row.kpis, name) for name in FIGURES}
    for name in ESTIMATES:
        flat |= dict(_ends(name, getattr(row.kpis, name)))
    return flat


def _ends(name: str, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    for end, field in (("", "value"), ("_low", "low"), ("_high", "high")):
        yield f"{name}{end}", None if estimate is None else getattr(estimate, field)


def _of_entry(entry: AuditEntry) -> dict[str, object]:
    flat: dict[str, object] = {name: getattr(entry, name) for name in AUDIT}
    return flat | {name: None if flat[name] is None else json.dumps(flat[name]) for name in ("before", "after")}


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return f"'{value}" if isinstance(value, str) and value.startswith(RUNS) else value
