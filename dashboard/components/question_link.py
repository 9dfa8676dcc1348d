"""The link from a station to the frames that it asks about, on the review page."""

import streamlit as st

from dashboard import formatting
from dashboard.context import PageContext
from storage.line.stations import Station

ORDER = "Questions"
"""The order of the review page that holds only the frames that stations ask about."""


def question_link(page: PageContext, station: Station, asked: int) -> None:
    """Draw that a station asks about frames, as a link to them; `asked` is their number, above 0."""
    st.page_link(
        page.pages["review"],
        label=f"Asks about {formatting.plural(asked, 'frame')}",
        icon=":material/contact_support:",
        query_params={"order": ORDER, "station": station.name},
    )
