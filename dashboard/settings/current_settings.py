"""What is in force: each station on a line, and the settings that this dashboard runs with."""

import streamlit as st

from dashboard import context, formatting
from dashboard.alerts import effective_rules
from dashboard.components import elements
from storage.alerts import alert_rules, mutes
from storage.line import normal_sets, stations, thresholds, workers
from storage.urls import masked_url, parse_database_url


def panel() -> None:
    now, zone = context.now(), context.zone()
    with context.reading() as session:
        places = stations.list_all(session)
        active = {place.id: normal_sets.active(session, place.id) for place in places}
        made = {place.id: thresholds.history(session, place.id) for place in places}
        muted, settings = mutes.in_force(session, now), alert_rules.list_all(session)
        scorers = workers.list_all(session)
    rows = []
    for place in places:
        of_set = active[place.id]
        of_threshold = next((one for one in made[place.id] if of_set and one.normal_set_id == of_set.id), None)
        on = [rule.label for rule in effective_rules.at(settings, place.id, "station") if rule.enabled]
        rows.append(
            {
                "Station": place.name,
                "Normal set": f"v{of_set.version}, {len(of_set.images)} images" if of_set else "none",
                "Threshold": formatting.score(of_threshold.value if of_threshold else None),
                "Made": of_threshold.kind.replace("_", " ") if of_threshold else "",
                "False rejects": f"{100 * place.settings.false_reject_rate:g} %",
                "Framing": place.settings.framing.replace("_", " "),
                "Rules on": ", ".join(on),
                "Muted until": formatting.clock(muted[place.id].until_at, now, zone) if place.id in muted else "",
                "Model": of_threshold.model_id if of_threshold else "",
            }
        )
    st.html(elements.heading("Stations"))
    if rows:
        st.dataframe(rows, hide_index=True, key="in_force_table", alt="What is in force at each station")
    else:
        st.caption("There is no station yet.")
    st.html(elements.heading("Scorers"))
    st.dataframe(
        [
            {
                "Name": one.name,
                "State": one.state,
                "Detector": one.detector,
                "Lag": one.lag,
                "Seen": formatting.ago(one.seen_at, now),
                "Says": one.message,
            }
            for one in scorers
        ],
        hide_index=True,
        key="scorers_table",
        placeholder="–",
        alt="Scorers by name",
    )
    st.html(elements.heading("This dashboard", "andon config prints all settings and where each came from"))
    st.dataframe(
        [{"Setting": name, "Value": value} for name, value in settings_shown()],
        hide_index=True,
        key="settings_table",
        alt="Settings of this dashboard",
    )


def settings_shown() -> list[tuple[str, str]]:
    """Names and values, without the password of a database address."""
    storage = context.storage_settings()
    return [
        ("storage.database_url", masked_url(parse_database_url(storage.database_url))),
        ("storage.images_url", storage.images_url.partition("?")[0]),
        *((f"dashboard.{name}", str(value)) for name, value in context.settings().model_dump().items()),
        *((f"alerts.{name}", str(value)) for name, value in context.alerts_settings().model_dump().items()),
    ]
