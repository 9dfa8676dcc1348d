"""The script that Streamlit runs for each visit; `frame` has the code."""

from dashboard.app.frame import draw

draw()
