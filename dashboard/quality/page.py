"""Charts & KPIs: whether the process runs as it should, and what it yields."""

from collections.abc import Callable, Mapping

import streamlit as st

from dashboard.quality import control_charts, kpis

PARTS: Mapping[str, Callable[[], None]] = {"Control charts": control_charts.panel, "KPIs": kpis.panel}


def quality_page() -> None:
    st.title("Charts & KPIs")
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default="Control charts",
        required=True,
        key="show",
        bind="query-params",
        label_visibility="collapsed",
    )
    PARTS[part or "Control charts"]()


quality_page()
