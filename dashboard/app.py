"""The dashboard's frame: look, navigation, and one clear sentence when the database is away."""

import streamlit as st

from dashboard import opening, theme


def frame() -> None:
    st.set_page_config(page_title="Andon", page_icon=str(theme.ASSETS / "icon.svg"), layout="wide")
    st.html(theme.style_sheet(opening.colours()))
    st.logo(str(theme.ASSETS / f"logo-{opening.colours().name}.svg"), size="large")
    page = st.navigation(
        [
            st.Page("screens/wall.py", title="Live wall", icon=":material/grid_view:", default=True),
            st.Page("screens/station.py", title="Station", icon=":material/query_stats:", url_path="station"),
            st.Page("screens/normals.py", title="Normal sets", icon=":material/photo_library:", url_path="normals"),
            st.Page(
                "screens/dead_letters.py", title="Dead letters", icon=":material/mail_off:", url_path="dead-letters"
            ),
        ],
        position="top",
    )
    if opening.problem() is None:
        page.run()
    else:
        st.fragment(waiting, run_every=opening.settings().refresh_every_s)()


def waiting() -> None:
    """Says what is wrong until it is put right, then runs the page again."""
    sentence = opening.problem()
    if sentence is None:
        st.rerun()
    st.error(sentence, icon=":material/database_off:")


frame()
