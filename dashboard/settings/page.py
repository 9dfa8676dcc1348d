"""Settings: people, channels, rules, mutes, stations, and what is in force."""

from collections.abc import Callable, Mapping

import streamlit as st

from dashboard import mutations
from dashboard.settings import alert_rules, channels, current_settings, mutes, stations, users

PARTS: Mapping[str, Callable[[], None]] = {
    "Users": users.panel,
    "Channels": channels.panel,
    "Alert rules": alert_rules.panel,
    "Mutes": mutes.panel,
    "Stations": stations.panel,
    "In force": current_settings.panel,
}


def settings_page() -> None:
    st.title("Settings")
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default="Users",
        required=True,
        key="part",
        bind="query-params",
        label_visibility="collapsed",
    )
    mutations.say_what_came_of_it()
    PARTS[part or "Users"]()


settings_page()
