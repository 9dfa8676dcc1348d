"""The charts and KPIs page: whether the process is in control, and what it yields."""

from collections.abc import Callable, Mapping

import streamlit as st

from dashboard.context import PageContext
from dashboard.quality import control_charts, kpis

DEFAULT_PART = "Control charts"
PARTS: Mapping[str, Callable[[PageContext], None]] = {DEFAULT_PART: control_charts.panel, "KPIs": kpis.panel}


def quality_page(page: PageContext) -> None:
    """Draw the choice between control charts and KPIs, and the one chosen."""
    st.title("Charts & KPIs")
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default=DEFAULT_PART,
        required=True,
        key="panel",
        bind="query-params",
        label_visibility="collapsed",
    )
    PARTS[part or DEFAULT_PART](page)
