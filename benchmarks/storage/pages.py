"""Time the database work of each page of the dashboard: the real page, run as for a browser.

The time within transactions counts, including the page's computations in them; rendering and images do not.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import streamlit as st
import structlog
from sqlalchemy.orm import Session

from benchmarks.storage.seeded_database import SeededLine
from dashboard.context import PageName
from storage.database.engine import Database
from testing.streamlit_app import new_app, switch_page

PAGE_GOAL_MS = 200.0
PAGE_TIMEOUT_S = 120.0
LineValues = Callable[[SeededLine], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class PageRun:
    """A page with its query parameters, and with the text that is typed into its fields."""

    screen: PageName
    query: LineValues = field(default=lambda _: {})
    typed: LineValues = field(default=lambda _: {})


def at(screen: PageName, **query: str) -> PageRun:
    """Return a run of a page with these query parameters."""
    return PageRun(screen, lambda _: query)


PAGES: Mapping[str, PageRun] = {
    "Live wall": at("wall"),
    "Station, 1 h": at("station", station="s1"),
    "Station, 30 d": at("station", station="s1", range="30 d"),
    "Station, all frames of 30 d, one chosen": PageRun(
        "station", lambda line: {"station": "s1", "range": "30 d", "show": "All", "frame": str(line.frame_id)}
    ),
    "Review, one by one": at("review"),
    "Review, most uncertain of a station": at("review", order="Most uncertain", station="s1"),
    "Review, random sample": at("review", order="Random sample"),
    "Review, grid": at("review", mode="Grid"),
    "Review, find a part": PageRun(
        "review",
        lambda line: {"mode": "Find a frame", "frame": str(line.frame_id)},
        lambda line: {"find_station": "s1", "find_text": line.part_id},
    ),
    "Normal sets, versions": at("normals", station="s1"),
    "Normal sets, draft": at("normals", station="s1", view="Draft"),
    "Normal sets, what if": at("normals", station="s1", view="What if"),
    "Normal sets, threshold": at("normals", station="s1", view="Threshold"),
    "Normal sets, golden frame": at("normals", station="s1", view="Golden frame"),
    "Alerts": PageRun("alerts", lambda line: {"alert": str(line.alert_id)}),
    "Alerts, all": at("alerts", state="All"),
    "Control charts": at("quality", station="s1"),
    "KPIs by station": at("quality", panel="KPIs", kpi_time="30 d"),
    "KPIs by day": at("quality", panel="KPIs", kpi_time="30 d", by="Day"),
    "KPIs by shift": at("quality", panel="KPIs", kpi_time="30 d", by="Shift"),
    "Dead letters": at("dead-letters"),
    "Audit": at("audit"),
    "Audit, a text": PageRun("audit", typed=lambda _: {"contains": "scratch"}),
    "Settings, users": at("settings"),
    "Settings, stations": at("settings", part="Stations"),
    "Settings, current settings": at("settings", part="Current settings"),
    "Add a station": at("add-station", new="s1"),
}


class TransactionTimer:
    """Adds up wall and CPU milliseconds within transactions; nested ones count once."""

    def __init__(self) -> None:
        self.spent_ms = self.cpu_ms = 0.0
        self._depth = threading.local()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the transactions of every `Database` within the block."""
        read, begin = Database.read, Database.begin
        Database.read = self._timed(read)  # type: ignore[method-assign, assignment]
        Database.begin = self._timed(begin)  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Database.read, Database.begin = read, begin  # type: ignore[method-assign]

    def _timed(
        self, transaction: Callable[[Database], AbstractContextManager[Session]]
    ) -> Callable[[Database], AbstractContextManager[Session]]:
        @contextmanager
        def timed(database: Database) -> Iterator[Session]:
            depth = getattr(self._depth, "now", 0)
            started_s, started_cpu_s, self._depth.now = time.perf_counter(), time.thread_time(), depth + 1
            try:
                with transaction(database) as session:
                    yield session
            finally:
                self._depth.now = depth
                if depth == 0:
                    self.spent_ms += (time.perf_counter() - started_s) * 1000
                    self.cpu_ms += (time.thread_time() - started_cpu_s) * 1000

        return timed


def time_page(url: str, name: str, line: SeededLine, repeats: int) -> tuple[list[float], list[float]]:
    """Return wall and CPU milliseconds within transactions of each run, with an empty cache before it."""
    os.environ["ANDON_STORAGE__DATABASE_URL"] = url
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # no image exists
    logging.getLogger("streamlit").setLevel(logging.ERROR)
    page, spent_ms, cpu_ms = PAGES[name], [], []
    app = new_app(PAGE_TIMEOUT_S)
    app.run()
    switch_page(app, page.screen)
    for key, value in page.query(line).items():
        app.query_params[key] = value
    app.run()
    for key, value in page.typed(line).items():
        next(element for element in (*app.selectbox, *app.text_input) if element.key == key).set_value(value)
    for _ in range(repeats):
        st.cache_data.clear()
        timer = TransactionTimer()
        with timer.watching():
            app.run()
        if app.exception:
            raise RuntimeError(f"The page {name} fails: {app.exception[0].message}")
        spent_ms.append(timer.spent_ms)
        cpu_ms.append(timer.cpu_ms)
    return spent_ms, cpu_ms
