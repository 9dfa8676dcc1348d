"""The script that Streamlit runs for each visit; `frame` holds what it does."""

from dashboard.app.frame import draw

draw()
