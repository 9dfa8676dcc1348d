"""Settings: people, channels, rules, mutes, stations, and what is in force."""

from collections.abc import Callable, Mapping

import streamlit as st

from dashboard import acting
from dashboard.panels import channels, in_force, mutes, rules, stations, users

PARTS: Mapping[str, Callable[[], None]] = {
    "Users": users.panel,
    "Channels": channels.panel,
    "Alert rules": rules.panel,
    "Mutes": mutes.panel,
    "Stations": stations.panel,
    "In force": in_force.panel,
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
    acting.say_what_came_of_it()
    PARTS[part or "Users"]()


settings_page()
