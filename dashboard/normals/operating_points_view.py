"""Operating points on the page: three thresholds to choose from, by what people said of frames."""

from collections.abc import Mapping
from datetime import timedelta

import streamlit as st

from alerts.statistics.operating_points import MIN_DEFECTS, OperatingPoint, OperatingPointName, operating_points
from dashboard import formatting, mutations
from dashboard.components import elements
from dashboard.components.elements import Metric
from dashboard.context import PageContext
from storage.actions import thresholds as threshold_actions
from storage.learning import stream_scores
from storage.line.stations import Station
from storage.line.thresholds import Threshold

LOOKBACK = timedelta(days=30)
TITLES: Mapping[OperatingPointName, str] = {
    "miss_nothing": "Miss nothing",
    "least_cost": "Least cost",
    "flag_no_good_part": "Flag no good part",
}
COSTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
DEFAULT_COST = 20


def operating_points_view(page: PageContext, station: Station, current: Threshold) -> None:
    """Draw three thresholds with their errors on known frames, and a button that sets each.

    Defects are those that people labelled; good frames are the others of the stream, without those labelled unsure.
    """
    with page.read() as session:
        stream = stream_scores.recent(
            session, station.id, current.normal_set_id, current.model_id, page.now() - LOOKBACK
        )
    defects = [frame.score for frame in stream if frame.label == "defect"]
    good = [frame.score for frame in stream if frame.label in (None, "false_alarm")]
    note = f"{formatting.plural(len(defects), 'labelled defect')}, {formatting.plural(len(good), 'other frame')}"
    st.html(elements.heading("Choose by what an error costs", note))
    if len(defects) < MIN_DEFECTS:
        st.caption(f"From {MIN_DEFECTS} labelled defects on three thresholds are offered here: label what was flagged.")
        return
    cost = st.select_slider(
        "A missed defect costs as much as so many good parts that are flagged",
        COSTS,
        value=DEFAULT_COST,
        key=f"cost-{station.id}",
    )
    for point in operating_points(good, defects, cost):
        draw_point(page, station, point, cost)
    st.caption(
        "Defects that nobody found count as good frames here, and defects are found more easily where scores are high: "
        "a station misses more than these numbers say."
    )


def draw_point(page: PageContext, station: Station, point: OperatingPoint, cost: int) -> None:
    """Draw one threshold and the button that sets it."""
    with st.container(horizontal=True, vertical_alignment="center", key=f"point-{point.name}"):
        st.html(
            elements.metrics(
                Metric(TITLES[point.name], formatting.score(point.threshold), "threshold"),
                Metric("Missed", str(point.missed), f"of {point.defects} labelled defects"),
                Metric("Flagged", formatting.count(point.flagged_good), f"of {formatting.count(point.good)} others"),
            )
        )
        st.button(
            "Set",
            key=f"set-point-{point.name}",
            icon=":material/tune:",
            disabled=not page.is_allowed("threshold.set"),
            on_click=set_point,
            args=(page, station, point, cost),
        )


def set_point(page: PageContext, station: Station, point: OperatingPoint, cost: int) -> None:
    """Set a threshold by hand, with what it was chosen for as the reason."""
    reason = f"{TITLES[point.name].lower()}, a miss costs {formatting.plural(cost, 'flagged good part')}"
    mutations.apply(
        page,
        lambda session, actor: threshold_actions.set_manually(
            session, actor, station.name, point.threshold, reason, page.now()
        ),
        f"The threshold is {formatting.score(point.threshold)}. Running scorers apply it within seconds.",
    )
