"""The station page: scores over time and their distribution, and the frames one by one."""

import streamlit as st

from dashboard import formatting
from dashboard.charts import scores
from dashboard.charts.limits import review_limits_of
from dashboard.components import elements
from dashboard.components.shortcuts import forward_shortcuts
from dashboard.components.station_choice import choose_station
from dashboard.context import PageContext, draw_live
from dashboard.station import pagination, verdict_pages, verdict_view
from dashboard.station.headline import headline
from dashboard.station.verdict_pages import FILTERS, VerdictPage
from dashboard.time_ranges import DEFAULT_RANGE, TIME_RANGES, TimeRange
from storage.line import normal_sets, stations, thresholds, verdicts
from storage.line.stations import Station
from storage.rollups import trends

MAX_FLAGGED_POINTS = 400  # in the trend; the newest ones
HISTOGRAM_BINS = 40
CHART_HEIGHT = 300
POINTS, POINT_SELECTED = "flagged_points", "point_selected"
DEFAULT_FILTER = "Flagged"


def station_page(page: PageContext) -> None:
    """Draw the station that the address names, or the choice of one."""
    with page.read() as session:
        by_name = {station.name: station for station in stations.list_all(session)}
    if not by_name:
        no_stations()
        return
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="choices"):
        name = choose_station(by_name, width=280)
        range_name = st.pills(
            "Time range",
            list(TIME_RANGES),
            default=DEFAULT_RANGE,
            required=True,
            key="range",
            bind="query-params",
            label_visibility="collapsed",
            on_change=pagination.resume_live,
        )
    if name is None:
        st.info("Choose a station above, or click its tile on the live wall.", icon=":material/arrow_upward:")
        return
    station, time_range = by_name[name], TIME_RANGES[range_name or DEFAULT_RANGE]
    pagination.enter_station(name)
    draw_live(page, headline, None, station, time_range)
    draw_live(page, charts, time_range.refresh_every_s(page.settings.refresh_every_s), station, time_range)
    draw_live(page, frames, None, station, time_range)
    forward_shortcuts()


def no_stations() -> None:
    """Draw how to add the first station."""
    st.title("Station")
    st.subheader("No stations yet")
    st.markdown("Add one with its first good parts, then send frames:")
    st.code(
        "andon station add s1\nandon normals add s1 FOLDER-OF-GOOD-PARTS --activate", language="bash", wrap_lines=True
    )


def charts(page: PageContext, station: Station, time_range: TimeRange) -> None:
    """Draw the scores over time and their histogram; a click on a flagged frame selects it below."""
    since, until = time_range.window(page.now())
    with page.read() as session:
        points = trends.trend(session, station.id, since, until, time_range.bucket)
        flagged = verdicts.recent(
            session, station.id, since=since, until=until, decision="flag", limit=MAX_FLAGGED_POINTS
        )
        history = thresholds.history(session, station.id)
        bins = trends.histogram(session, station.id, since, until, bins=HISTOGRAM_BINS)
        has_active_set = normal_sets.active(session, station.id) is not None
    threshold = next((point.threshold for point in reversed(points) if point.threshold is not None), None)
    review_limit = review_limits_of(history)(threshold, until)
    st.session_state[POINTS] = [verdict.frame_id for verdict in flagged]
    wide, narrow = st.columns([7, 4], gap="small")
    with wide.container(border=True, key="card-trend"):
        st.html(elements.heading("Score over time", trend_note(len(flagged))))
        if any(point.score_mean is not None for point in points):  # bad pictures have none
            st.echarts_chart(
                scores.trend(points, flagged, since, until, time_range.bucket, page.palette, history),
                height=CHART_HEIGHT,
                key="trend",
                on_select=point_selected,
                alt=f"Scores and limits of {station.name} over {time_range.name}; {len(flagged)} flagged frames",
            )
        else:
            nothing_scored(station, time_range, has_active_set=has_active_set)
    with narrow.container(border=True, key="card-histogram"):
        st.html(elements.heading("Score distribution"))
        if bins:
            st.echarts_chart(
                scores.histogram(bins, threshold, review_limit, page.palette),
                height=CHART_HEIGHT,
                key="histogram",
                alt=f"Histogram of the scores of {station.name} over {time_range.name}",
            )
        else:
            nothing_scored(station, time_range, has_active_set=has_active_set)
    if st.session_state.pop(POINT_SELECTED, False):
        st.rerun()


def trend_note(flagged: int) -> str:
    """Return the hint on selecting the flagged frames of the trend."""
    if flagged == MAX_FLAGGED_POINTS:
        return f"only the newest {flagged} flagged frames are marked; click one to open it"
    return "click a flagged frame to open it" if flagged else ""


def point_selected() -> None:
    """Select the frame whose point was clicked; the trend's first series holds the flagged frames in their order."""
    points = st.session_state.get(POINTS, [])
    for series in st.session_state["trend"].selection.selected:
        indices = series["data_indices"]
        if series["series_index"] == 0 and indices and indices[0] < len(points):
            pagination.select_frame(points[indices[0]], 1)
            st.session_state[POINT_SELECTED] = True


def nothing_scored(station: Station, time_range: TimeRange, *, has_active_set: bool) -> None:
    """Draw the placeholder for a chart without data, with the command that would fill it."""
    text = f"Nothing was scored in the last {time_range.name}."
    command = (
        f"andon produce {station.name} --source folder:PATH"
        if has_active_set
        else f"andon normals add {station.name} FOLDER --activate"
    )
    st.html(elements.placeholder("timeline", text, command))


def frames(page: PageContext, station: Station, time_range: TimeRange) -> None:
    """Draw a page of the station's frames, and the selected one in full."""
    since = page.now() - time_range.length
    with st.container(border=True, key="card-frames"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            filter_name = choose_filter()
            live_state = st.container(width="content")
        with page.read() as session:
            pagination.restore(session, verdict_pages.read_page(session, station.id, filter_name, since, None, 1))
            listing = verdict_pages.read_page(
                session, station.id, filter_name, since, pagination.frozen_at(), pagination.page_number()
            )
            selected = verdict_pages.selected_frame(session, listing, pagination.selected_frame_id())
            newer, older = verdict_view.neighbours(session, listing, selected) if selected else (None, None)
            normal_set = verdict_view.normal_set_of(session, selected) if selected else None
            frame_count = verdicts.count(session, station.id, since=since)
            bad_count = verdicts.count(session, station.id, since=since, decision="bad_picture")
        with live_state:
            live_or_frozen(listing)
        st.page_link(
            page.pages["review"],
            label="Find the frame of a defective part",
            icon=":material/search:",
            query_params={"mode": "Find a frame", "station": station.name},
        )
        if selected is None:
            st.html(elements.placeholder(*nothing_listed(filter_name, time_range, frame_count, bad_count)))
            return
        left, right = st.columns([5, 9], gap="medium")
        with left:
            verdict_view.gallery(page, listing, selected)
            pager(listing)
        with right:
            verdict_view.verdict_view(page, station.name, selected, normal_set, newer, older)


def choose_filter() -> str:
    """Draw the choice of the frames that the list holds, and return a key of `FILTERS`."""
    chosen = st.segmented_control(
        "Show",
        list(FILTERS),
        default=DEFAULT_FILTER,
        required=True,
        key="show",
        bind="query-params",
        label_visibility="collapsed",
        on_change=pagination.resume_live,
    )
    return chosen or DEFAULT_FILTER


def live_or_frozen(listing: VerdictPage) -> None:
    """Draw that the list is live, or the button that resumes a frozen one."""
    if not listing.frozen_at:
        st.badge("live", icon=":material/sensors:", color="green")
        return
    newer = f", {formatting.plural(listing.newer, 'newer frame')}" if listing.newer else ""
    st.button(
        f"Back to live{newer}",
        icon=":material/vertical_align_top:",
        key="back-to-live",
        on_click=pagination.resume_live,
    )


def pager(listing: VerdictPage) -> None:
    """Draw the choice of a page of the list, and how many frames the list holds."""
    if listing.pages > 1:
        st.pagination(
            listing.pages,
            default=listing.number,
            key=pagination.pager_key(),
            on_change=pagination.page_changed,
            max_visible_pages=5,
        )
    st.caption(total_note(listing))


def total_note(listing: VerdictPage) -> str:
    """Return how many frames the list holds, and how many of them can be opened."""
    if listing.reachable < listing.total:
        reachable, total = formatting.count(listing.reachable), formatting.count(listing.total)
        return f"the newest {reachable} of {total} frames; choose a shorter time range to see older ones"
    return formatting.plural(listing.total, "frame")


def nothing_listed(filter_name: str, time_range: TimeRange, frame_count: int, bad_count: int) -> tuple[str, str]:
    """Return an icon, and why the list is empty: no frame has a verdict, or none the verdict that is shown."""
    if frame_count == 0:
        return "hourglass_empty", f"No frame was inspected in the last {time_range.name}."
    verbs = {"Flagged": "Nothing was flagged", "Passed": "Nothing passed", "Bad pictures": "No bad pictures"}
    text = f"{verbs.get(filter_name, 'No frames')} in the last {time_range.name}"
    if bad_count:
        bad = "1 is a bad picture" if bad_count == 1 else f"{formatting.count(bad_count)} are bad pictures"
        return "visibility_off", f"{text}; of {formatting.plural(frame_count, 'frame')}, {bad}."
    return "verified", f"{text}."
