"""Why a page could not read or write the storage, shown until it can."""

from itertools import count

import streamlit as st

from dashboard import formatting
from dashboard.context import PageContext
from storage.errors import StorageUnavailable


def show_until_writable(page: PageContext, error: StorageUnavailable, note: str = "") -> None:
    """Draw an error with a note, and run the page again as soon as the database can be written."""
    st.error(
        " ".join(filter(None, [formatting.escape_message(str(error)), note, "This page continues by itself."])),
        icon=":material/database_off:",
    )
    attempts = count()

    def retry() -> None:
        is_refreshed = next(attempts) > 0  # not while the error itself is drawn: that would never end
        if is_refreshed and page.write_problem() is None:
            st.rerun()

    st.fragment(retry, run_every=page.settings.refresh_every_s)()
