"""The settings page: users, channels, alert rules, mutes, stations, and the current settings."""

from collections.abc import Callable, Mapping

import streamlit as st

from dashboard import mutations
from dashboard.context import PageContext
from dashboard.settings import alert_rules, channels, current_settings, mutes, stations, users

DEFAULT_PART = "Users"
PARTS: Mapping[str, Callable[[PageContext], None]] = {
    DEFAULT_PART: users.panel,
    "Channels": channels.panel,
    "Alert rules": alert_rules.panel,
    "Mutes": mutes.panel,
    "Stations": stations.panel,
    "Current settings": current_settings.panel,
}


def settings_page(page: PageContext) -> None:
    """Draw the choice of a part, and the part."""
    st.title("Settings")
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default=DEFAULT_PART,
        required=True,
        key="part",
        bind="query-params",
        label_visibility="collapsed",
    )
    mutations.show_outcome()
    PARTS[part or DEFAULT_PART](page)
