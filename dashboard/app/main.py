"""The dashboard's frame: look, login, navigation, and one clear sentence when the database is away."""

import streamlit as st

from dashboard import context, theme
from dashboard.auth import account, identity
from storage.auth.actors import Actor
from storage.errors import StorageError


def frame() -> None:
    who, problem = visitor()
    st.set_page_config(page_title="Andon", page_icon=str(theme.ASSETS / "icon.svg"), layout="wide")
    st.html(theme.style_sheet(context.colours()))
    st.logo(str(theme.ASSETS / f"logo-{context.colours().name}.svg"), size="large")
    page = st.navigation(
        [
            st.Page("../wall/page.py", title="Live wall", icon=":material/grid_view:", default=True),
            st.Page("../station/page.py", title="Station", icon=":material/query_stats:", url_path="station"),
            st.Page("../review/page.py", title="Review", icon=":material/rate_review:", url_path="review"),
            st.Page("../normals/page.py", title="Normal sets", icon=":material/photo_library:", url_path="normals"),
            st.Page("../alerts/page.py", title="Alerts", icon=":material/notifications:", url_path="alerts"),
            st.Page("../quality/page.py", title="Charts & KPIs", icon=":material/monitoring:", url_path="quality"),
            st.Page(
                "../dead_letters/page.py", title="Dead letters", icon=":material/mail_off:", url_path="dead-letters"
            ),
            st.Page("../audit/page.py", title="Audit", icon=":material/history:", url_path="audit"),
            st.Page("../settings/page.py", title="Settings", icon=":material/tune:", url_path="settings"),
            st.Page(
                "../add_station/page.py",
                title="Add a station",
                icon=":material/add_a_photo:",
                url_path="add-station",
                visibility="hidden",
            ),
        ],
        position="hidden" if problem is None and who is None else "top",
    )
    if problem is not None:
        st.fragment(waiting, run_every=context.settings().refresh_every_s)()
        return
    if who is None:
        account.log_in()
        return
    identity.keep()
    page.run()
    account.corner(who, identity.is_single_user())


def visitor() -> tuple[Actor | None, str | None]:
    """Who is here, if anybody is logged in; and why it can't be told, if it can't."""
    problem = context.problem()
    try:
        return (identity.known() if problem is None else None), problem
    except StorageError as error:  # it went away between the two questions
        return None, str(error)


def waiting() -> None:
    """Says what is wrong until it is put right, then runs the page again."""
    sentence = context.problem()
    if sentence is None:
        st.rerun()
    st.error(sentence, icon=":material/database_off:")


frame()
