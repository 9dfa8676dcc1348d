"""Alert rules: their configuration at one station or for the whole line; a rule without a row has its defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.database.rows import columns_of, insert_into
from storage.database.tables import AlertRuleRow
from storage.database.truncate import truncate


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A configured rule; `kind` is its registered name, `station_id` is None for the whole line."""

    station_id: int | None
    kind: str
    parameters: Mapping[str, Any]
    enabled: bool


def put(session: Session, rule: AlertRule) -> None:
    """Set the configuration, in place of an earlier one."""
    row = {
        "station_id": rule.station_id,
        "kind": truncate(rule.kind, 40),
        "parameters": dict(rule.parameters),
        "enabled": rule.enabled,
    }
    line_wide = rule.station_id is None
    session.execute(
        insert_into(session, AlertRuleRow)
        .values(**row)
        .on_conflict_do_update(
            index_elements=["kind"] if line_wide else ["station_id", "kind"],
            index_where=AlertRuleRow.station_id.is_(None) if line_wide else AlertRuleRow.station_id.is_not(None),
            set_={"parameters": row["parameters"], "enabled": row["enabled"]},
        )
    )


def get(session: Session, station_id: int | None, kind: str) -> AlertRule | None:
    """Return the configuration; None where none was set."""
    row = session.execute(
        select(*_COLUMNS).where(
            AlertRuleRow.station_id.is_(None) if station_id is None else AlertRuleRow.station_id == station_id,
            AlertRuleRow.kind == kind,
        )
    ).first()
    return None if row is None else AlertRule(*row)


def list_all(session: Session) -> list[AlertRule]:
    """Return all configurations, in no particular order."""
    return [AlertRule(*row) for row in session.execute(select(*_COLUMNS))]


_COLUMNS = columns_of(AlertRuleRow, AlertRule)
