"""The dashboard's frame: look, login, navigation, and one clear sentence when the database is away."""

import streamlit as st

from dashboard import account, identity, opening, theme
from storage.actors import Actor
from storage.errors import StorageError


def frame() -> None:
    who, problem = visitor()
    st.set_page_config(page_title="Andon", page_icon=str(theme.ASSETS / "icon.svg"), layout="wide")
    st.html(theme.style_sheet(opening.colours()))
    st.logo(str(theme.ASSETS / f"logo-{opening.colours().name}.svg"), size="large")
    page = st.navigation(
        [
            st.Page("screens/wall.py", title="Live wall", icon=":material/grid_view:", default=True),
            st.Page("screens/station.py", title="Station", icon=":material/query_stats:", url_path="station"),
            st.Page("screens/review.py", title="Review", icon=":material/rate_review:", url_path="review"),
            st.Page("screens/normals.py", title="Normal sets", icon=":material/photo_library:", url_path="normals"),
            st.Page("screens/alerts.py", title="Alerts", icon=":material/notifications:", url_path="alerts"),
            st.Page("screens/quality.py", title="Charts & KPIs", icon=":material/monitoring:", url_path="quality"),
            st.Page(
                "screens/dead_letters.py", title="Dead letters", icon=":material/mail_off:", url_path="dead-letters"
            ),
            st.Page("screens/audit.py", title="Audit", icon=":material/history:", url_path="audit"),
            st.Page("screens/settings.py", title="Settings", icon=":material/tune:", url_path="settings"),
            st.Page(
                "screens/add_station.py",
                title="Add a station",
                icon=":material/add_a_photo:",
                url_path="add-station",
                visibility="hidden",
            ),
        ],
        position="hidden" if problem is None and who is None else "top",
    )
    if problem is not None:
        st.fragment(waiting, run_every=opening.settings().refresh_every_s)()
        return
    if who is None:
        account.log_in()
        return
    identity.keep()
    page.run()
    account.corner(who, identity.is_single_user())


def visitor() -> tuple[Actor | None, str | None]:
    """Who is here, if anybody is logged in; and why it can't be told, if it can't."""
    problem = opening.problem()
    try:
        return (identity.known() if problem is None else None), problem
    except StorageError as error:  # it went away between the two questions
        return None, str(error)


def waiting() -> None:
    """Says what is wrong until it is put right, then runs the page again."""
    sentence = opening.problem()
    if sentence is None:
        st.rerun()
    st.error(sentence, icon=":material/database_off:")


frame()
