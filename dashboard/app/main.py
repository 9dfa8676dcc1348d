"""The script that Streamlit runs for each visit; `frame` has the code."""

from dashboard.app.frame import draw

if __name__ == "__main__":  # a process that multiprocessing starts imports this file too, under another name
    draw()
