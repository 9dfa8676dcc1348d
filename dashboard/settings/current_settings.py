"""The current settings: of each station, of the scorers, and of this dashboard."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import formatting
from dashboard.alerts import effective_rules
from dashboard.components import elements
from dashboard.context import PageContext
from foundation.masking import mask_secrets
from storage.alerts import alert_rules, mutes
from storage.alerts.alert_rules import AlertRule
from storage.alerts.mutes import Mute
from storage.line import normal_sets, stations, thresholds, workers
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.line.workers import WorkerStatus


def panel(page: PageContext) -> None:
    """Draw three tables: stations, scorers, and the settings of this dashboard."""
    with page.read() as session:
        all_stations = stations.list_all(session)
        active = {station.id: normal_sets.active(session, station.id) for station in all_stations}
        histories = {station.id: thresholds.history(session, station.id) for station in all_stations}
        muted = mutes.in_force(session, page.now())
        rules = alert_rules.list_all(session)
        scorers = workers.list_all(session)
    st.html(elements.heading("Stations"))
    if all_stations:
        rows = [
            station_row(page, station, active[station.id], histories[station.id], rules, muted)
            for station in all_stations
        ]
        st.dataframe(rows, hide_index=True, key="stations_table", alt="Current settings of each station")
    else:
        st.caption("There is no station yet.")
    st.html(elements.heading("Scorers"))
    scorer_table(page, scorers)
    st.html(elements.heading("This dashboard", "andon config prints all settings and their sources"))
    st.dataframe(
        [{"Setting": name, "Value": value} for name, value in dashboard_settings(page)],
        hide_index=True,
        key="settings_table",
        alt="Settings of this dashboard",
    )


def station_row(
    page: PageContext,
    station: Station,
    active: NormalSet | None,
    history: Sequence[Threshold],
    rules: Sequence[AlertRule],
    muted: Mapping[int, Mute],
) -> dict[str, str]:
    """Return column → value of a station: normal set, threshold, settings, rules, mute and model."""
    threshold = next((each for each in history if active and each.normal_set_id == active.id), None)
    enabled = [rule.name for rule in effective_rules.for_scope(rules, station.id, "station") if rule.enabled]
    mute = muted.get(station.id)
    return {
        "Station": station.name,
        "Normal set": f"v{active.version}, {len(active.images)} images" if active else "none",
        "Threshold": formatting.score(threshold.value if threshold else None),
        "Origin": threshold.kind.replace("_", " ") if threshold else "",
        "False-reject rate": f"{100 * station.settings.false_reject_rate:g} %",
        "Framing": station.settings.framing.replace("_", " "),
        "Alert rules": ", ".join(enabled),
        "Muted until": formatting.clock(mute.until_at, page.now(), page.time_zone) if mute else "",
        "Model": threshold.model_id if threshold else "",
    }


def scorer_table(page: PageContext, scorers: Sequence[WorkerStatus]) -> None:
    """Draw the scorers as a table."""
    rows = [
        {
            "Name": scorer.name,
            "State": scorer.state,
            "Detector": scorer.detector,
            "Lag": scorer.lag,
            "Last heartbeat": formatting.ago(scorer.seen_at, page.now()),
            "Message": scorer.message,
        }
        for scorer in scorers
    ]
    st.dataframe(rows, hide_index=True, key="scorers_table", placeholder="–", alt="Scorers by name")


def dashboard_settings(page: PageContext) -> list[tuple[str, str]]:
    """Return the names and values of the settings, without the password of the database URL."""
    storage = page.storage_settings
    return [
        ("storage.database_url", mask_secrets(storage.database_url)),
        ("storage.images_url", mask_secrets(storage.images_url)),
        *((f"dashboard.{name}", str(value)) for name, value in page.settings.model_dump().items()),
        *((f"alerts.{name}", str(value)) for name, value in page.alerts_settings.model_dump().items()),
    ]
