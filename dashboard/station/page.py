"""One station: its trend and histogram, and its frames one by one with anomaly map and provenance."""

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, station_state
from dashboard.charts import scores
from dashboard.components import elements, shortcuts
from dashboard.station import pagination, verdict_pages, verdict_view
from dashboard.station.verdict_pages import SHOW, VerdictPage
from dashboard.time_ranges import DEFAULT, TIME_RANGES, TimeRange
from storage.line import normal_sets, parked_frames, stations, verdicts, workers
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.verdicts import StationSummary, Verdict

MOST_FLAGGED = 400  # points drawn over a trend; the newest ones
LATEST = 50  # frames that the latency is told from
DRAWN = "flagged_drawn"


def station_page() -> None:
    with context.reading() as session:
        places = {place.name: place for place in stations.list_all(session)}
    if not places:
        st.subheader("No stations yet")
        st.markdown("Add one with its first good parts, then send frames:")
        st.code(
            "andon station add s1\nandon normals add s1 FOLDER-OF-GOOD-PARTS --activate",
            language="bash",
            wrap_lines=True,
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="choices"):
        name = st.selectbox(
            "Station",
            list(places),
            index=None,
            key="station",
            bind="query-params",
            placeholder="Choose a station",
            label_visibility="collapsed",
            width=280,
        )
        chosen = st.pills(
            "Time range",
            list(TIME_RANGES),
            default=DEFAULT,
            required=True,
            key="range",
            bind="query-params",
            label_visibility="collapsed",
            on_change=pagination.newest,
        )
    if name is None:
        st.info("Choose a station above, or click its tile on the live wall.", icon=":material/arrow_upward:")
        return
    place, span = places[name], TIME_RANGES[chosen or DEFAULT]
    pagination.arrive(name)
    context.live(headline, None, place, span)
    context.live(diagrams, span.refresh_every_s(context.settings().refresh_every_s), place, span)
    context.live(frames, None, place, span)
    shortcuts.hand_on()


def headline(place: Station, span: TimeRange) -> None:
    """The station's state, and its numbers over the chosen range."""
    settings, now = context.settings(), context.now()
    since = now - span.length
    with context.reading() as session:
        summary = summary_of(session, place, span)
        latest = verdicts.recent(session, place.id, since=since, limit=LATEST)
        active = normal_sets.active(session, place.id)
        running = station_state.alive(workers.list_all(session), now, timedelta(seconds=settings.worker_timeout_s))
    state = station_state.station_state(place, summary, active is not None, running, now)
    scored = summary.frames - summary.no_reference
    seen = f"last frame {formatting.ago(summary.latest.captured_at, now)}" if summary.latest else "no verdict so far"
    st.html(
        elements.title(place, state, seen)
        + elements.strip(
            elements.figure("Frames", formatting.count(summary.frames), f"in {span.name}"),
            elements.figure(
                "Flagged", formatting.share(summary.flagged, scored), formatting.plural(summary.flagged, "frame")
            ),
            elements.figure("Threshold", formatting.score(threshold_in_force(latest)), "flagged above it"),
            elements.figure("Trigger to verdict", *latency(latest)),
            elements.figure(
                "Normal set", f"v{active.version}" if active else "none", normals_note(active, summary.parked)
            ),
        )
    )


def summary_of(session: Session, place: Station, span: TimeRange) -> StationSummary:
    since = context.now() - span.length
    newest = verdicts.recent(session, place.id, limit=1)
    return StationSummary(
        station_id=place.id,
        latest=newest[0] if newest else None,
        frames=verdicts.count(session, place.id, since=since),
        flagged=verdicts.count(session, place.id, since=since, decision="flag"),
        no_reference=verdicts.count(session, place.id, since=since, decision="no_reference"),
        parked=parked_frames.count(session, place.id),
        recent_scores=(),
    )


def threshold_in_force(latest: Sequence[Verdict]) -> float | None:
    return next((verdict.threshold for verdict in latest if verdict.threshold is not None), None)


def latency(latest: Sequence[Verdict]) -> tuple[str, str]:
    """Median and longest time from capture to decision over the newest frames."""
    took = sorted((verdict.decided_at - verdict.captured_at).total_seconds() for verdict in latest)
    if not took:
        return "–", "no frames in this range"
    return formatting.seconds(took[len(took) // 2]), f"median; longest {formatting.seconds(took[-1])}"


def normals_note(active: NormalSet | None, waiting: int) -> str:
    if waiting:
        return f"{formatting.plural(waiting, 'frame')} waiting"
    return formatting.plural(len(active.images), "good part") if active else "andon normals add"


def diagrams(place: Station, span: TimeRange) -> None:
    """Score trend and histogram; a click on a flagged point chooses its frame below."""
    since, until = span.window(context.now())
    with context.reading() as session:
        points = verdicts.trend(session, place.id, since, until, span.bucket)
        flagged = verdicts.recent(session, place.id, since=since, until=until, decision="flag", limit=MOST_FLAGGED)
        bins = verdicts.histogram(session, place.id, since, until, bins=40)
    threshold = next((point.threshold for point in reversed(points) if point.threshold is not None), None)
    st.session_state[DRAWN] = [verdict.frame_id for verdict in flagged]
    wide, narrow = st.columns([7, 4], gap="small")
    with wide.container(border=True, key="card-trend"):
        st.html(elements.heading("Score over time", trend_note(len(flagged))))
        if points:
            st.echarts_chart(
                scores.trend(points, flagged, since, until, span.bucket, context.colours()),
                height=300,
                key="trend",
                on_select=point_chosen,
                alt=f"Scores of {place.name} over {span.name} with its threshold; {len(flagged)} flagged frames",
            )
        else:
            nothing(place, span)
    with narrow.container(border=True, key="card-histogram"):
        st.html(elements.heading("Score distribution"))
        if bins:
            st.echarts_chart(
                scores.histogram(bins, threshold, context.colours()),
                height=300,
                key="histogram",
                alt=f"Histogram of the scores of {place.name} over {span.name}",
            )
        else:
            nothing(place, span)
    if st.session_state.pop("point_chosen", False):
        st.rerun()


def trend_note(flagged: int) -> str:
    if flagged == MOST_FLAGGED:
        return f"only the newest {flagged} flagged frames are marked; click one to look at it"
    return "click a flagged frame to look at it" if flagged else ""


def point_chosen() -> None:
    """The first series of the trend holds the flagged frames in the order drawn."""
    drawn = st.session_state.get(DRAWN, [])
    for series in st.session_state["trend"].selection.selected:
        if series["series_index"] == 0 and series["data_indices"] and series["data_indices"][0] < len(drawn):
            pagination.choose(drawn[series["data_indices"][0]], 1)
            st.session_state["point_chosen"] = True


def nothing(place: Station, span: TimeRange) -> None:
    st.html(
        elements.no_picture(
            station_state.StationState(
                "no_frames", "idle", "timeline", "", f"Nothing was scored in the last {span.name}."
            ),
            f"andon produce {place.name} --source folder:PATH",
        )
    )


def frames(place: Station, span: TimeRange) -> None:
    """The station's frames, a page at a time, and the chosen one in full."""
    now = context.now()
    since = now - span.length
    with st.container(border=True, key="card-frames"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            show = st.segmented_control(
                "Show",
                list(SHOW),
                default="Flagged",
                required=True,
                key="show",
                bind="query-params",
                label_visibility="collapsed",
                on_change=pagination.newest,
            )
            newer = st.container(width="content")
        with context.reading() as session:
            pagination.resume(session, verdict_pages.listing(session, place.id, show or "Flagged", since, None, 1))
            shown = verdict_pages.listing(
                session, place.id, show or "Flagged", since, pagination.frozen_at(), pagination.page()
            )
            chosen = verdict_pages.chosen(session, shown, pagination.frame_id())
            beside = verdict_view.neighbours(session, shown, chosen) if chosen else (None, None)
            normal_set = verdict_view.normal_set_of(session, chosen) if chosen else None
        if shown.frozen_at:
            newer.button(
                f"Back to live, {formatting.plural(shown.newer, 'newer frame')}" if shown.newer else "Back to live",
                icon=":material/vertical_align_top:",
                key="back-to-live",
                on_click=pagination.newest,
            )
        else:
            newer.badge("live", icon=":material/sensors:", color="green")
        st.page_link(
            "../review/page.py",
            label="A bad part was found later? Find its frame",
            icon=":material/search:",
            query_params={"how": "Find a frame", "station": place.name},
        )
        if chosen is None:
            st.html(
                elements.no_picture(
                    station_state.StationState("no_frames", "idle", "verified", "", none_shown(show, span))
                )
            )
            return
        left, right = st.columns([5, 9], gap="medium")
        with left:
            verdict_view.gallery(place, shown, chosen, now)
            if shown.pages > 1:
                st.pagination(
                    shown.pages,
                    default=shown.page,
                    key=pagination.pager(),
                    on_change=pagination.turned,
                    max_visible_pages=5,
                )
            st.caption(reach_note(shown))
        with right:
            verdict_view.verdict_view(chosen, normal_set, beside)


def reach_note(shown: VerdictPage) -> str:
    if shown.reach < shown.total:
        newest, total = formatting.count(shown.reach), formatting.count(shown.total)
        return f"the newest {newest} of {total}; a shorter range shows fewer"
    return formatting.plural(shown.total, "frame")


def none_shown(show: str | None, span: TimeRange) -> str:
    return {
        "Flagged": f"Nothing was flagged in the last {span.name}.",
        "Passed": f"Nothing passed in the last {span.name}.",
    }.get(show or "", f"No frames in the last {span.name}.")


station_page()
