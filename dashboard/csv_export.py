"""Tables as CSV files that a spreadsheet opens without executing a cell that somebody typed."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from alerts.kpis.kpis import KpiRow
from alerts.statistics.confidence_intervals import Estimate
from foundation.formulas import may_be_formula
from storage.auth.audit_log import AuditEntry

AUDIT_COLUMNS = ("id", "at", "actor", "role", "action", "station", "subject", "before", "after", "reason")
REVIEWED = ("caught", "false_alarms", "confirmed", "escaped", "sampled_good", "sampled_defects")
COUNTS = ("frames", "flagged", *REVIEWED, "bad_pictures", "borderline")
RATIOS = ("first_pass_yield", "flagged_ppm", "dpmo", "bad_picture_share", "borderline_share")
ESTIMATES = ("false_alarm_share", "false_reject_rate", "escape_rate", "escape_ppm")
KPI_COLUMNS = (
    *("group", "station", "since", "until", *COUNTS, *RATIOS),
    *(f"{name}{suffix}" for name in ESTIMATES for suffix in ("", "_low", "_high")),
)


def table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Return rows as CSV in UTF-8 with a byte order mark; times are RFC 3339 in UTC, unknown values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def audit_log(entries: Iterable[AuditEntry]) -> bytes:
    """Return the audit log as CSV, with the values before and after as JSON."""
    return table(AUDIT_COLUMNS, (_audit_row(entry) for entry in entries))


def kpis(rows: Iterable[KpiRow]) -> bytes:
    """Return a KPI table as CSV, with the column names of `andon kpi --csv`."""
    return table(KPI_COLUMNS, (kpi_row(row) for row in rows))


def kpi_row(row: KpiRow) -> dict[str, object]:
    """Return column → value of one row; an estimate has three columns, None where it can't be computed."""
    values: dict[str, object] = {"group": row.group, "station": row.station, "since": row.since, "until": row.until}
    values |= {name: getattr(row.kpis.counts, name) for name in COUNTS}
    values |= {name: getattr(row.kpis, name) for name in RATIOS}
    for name in ESTIMATES:
        values |= dict(_estimate_columns(name, getattr(row.kpis, name)))
    return values


def _estimate_columns(name: str, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    for suffix, field in (("", "value"), ("_low", "low"), ("_high", "high")):
        yield f"{name}{suffix}", None if estimate is None else getattr(estimate, field)


def _audit_row(entry: AuditEntry) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(entry, name) for name in AUDIT_COLUMNS}
    as_json = {name: None if values[name] is None else json.dumps(values[name]) for name in ("before", "after")}
    return values | as_json


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return f"'{value}" if isinstance(value, str) and may_be_formula(value) else value
