"""The live wall: a tile a station, and the line's numbers on top."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import context, formatting, station_state
from dashboard.alerts import alert_html, effective_rules
from dashboard.charts import scores
from dashboard.components import elements
from dashboard.station_state import StationState
from storage.alerts import alerts
from storage.alerts.alerts import Alert
from storage.line import dead_letters, drops, normal_sets, stations, verdicts, workers
from storage.line.drops import DropTotal
from storage.line.stations import Station
from storage.line.verdicts import StationSummary
from storage.line.workers import WorkerStatus

DROPS_SHOWN_FOR = timedelta(hours=24)  # the last shifts


def wall() -> None:
    settings, now = context.settings(), context.now()
    window = timedelta(minutes=settings.window_minutes)
    with context.reading() as session:
        places = stations.list_all(session)
        summaries = {
            summary.station_id: summary
            for summary in verdicts.summaries(session, now - window, settings.sparkline_scores)
        }
        active = normal_sets.active_ids(session)
        scorers = workers.list_all(session)
        today = verdicts.count(session, since=context.midnight(now))
        flagged_today = verdicts.count(session, since=context.midnight(now), decision="flag")
        letters = dead_letters.count(session, replayed=False)
        wanting = alerts.unresolved(session)
        lost = drops.totals_since(session, now - DROPS_SHOWN_FOR)
    running = station_state.alive(scorers, now, timedelta(seconds=settings.worker_timeout_s))
    st.html(strip(today, flagged_today, letters, running, [s for s in scorers if s not in running], wanting))
    if not places:
        no_stations()
        return
    st.html(elements.rows(1 if len(places) <= 3 else 2))
    grid = st.grid(min_column_width=tile_width(len(places)), gap="small", key="wall")
    for place in places:
        state = station_state.station_state(place, summaries[place.id], place.id in active, running, now)
        of_place = [alert for alert in wanting if alert.station_id == place.id]
        tile(grid, place, summaries[place.id], state, of_place, lost.get(place.name), now)


def strip(
    today: int,
    flagged: int,
    letters: int,
    running: Sequence[WorkerStatus],
    gone: Sequence[WorkerStatus],
    wanting: Sequence[Alert],
) -> str:
    """Frames today, flagged share, open alerts, dead letters, workers alive and their lag."""
    lag = sum(worker.lag for worker in running)
    waiting = [worker for worker in running if worker.state == "waiting"]
    note = waiting[0].message if waiting else f"{formatting.plural(len(gone), 'worker')} gone" if gone else ""
    return elements.strip(
        elements.figure("Frames today", formatting.count(today), "since midnight"),
        elements.figure("Flagged today", formatting.share(flagged, today), formatting.plural(flagged, "frame")),
        elements.figure("Scorers", str(len(running)) if running else "none", note or "all well", scorer_tone(running)),
        elements.figure("Lag", formatting.count(lag), "frames to score", "warn" if lag > 1000 else ""),
        elements.figure("Alerts", str(len(wanting)) if wanting else "none", alerts_note(wanting), alerts_tone(wanting)),
        elements.figure("Dead letters", formatting.count(letters), "not replayed", "warn" if letters else ""),
    )


def scorer_tone(running: Sequence[WorkerStatus]) -> str:
    if not running:
        return "bad"
    return "warn" if any(worker.state == "waiting" for worker in running) else ""


def alerts_note(wanting: Sequence[Alert]) -> str:
    """How many nobody sees to yet; alerts of the line itself have no tile, so they are named here."""
    of_line = [effective_rules.label(alert.rule) for alert in wanting if alert.station_id is None]
    unseen = sum(alert.state == "opened" for alert in wanting)
    seen = f"{unseen} not acknowledged" if unseen else "acknowledged" if wanting else "all quiet"
    return "; ".join([*of_line, seen])


def alerts_tone(wanting: Sequence[Alert]) -> str:
    if any(alert.severity == "critical" and alert.state == "opened" for alert in wanting):
        return "bad"
    return "warn" if wanting else ""


def tile_width(number: int) -> int:
    """In pixels: few stations get large tiles, many get small ones."""
    return 400 if number <= 6 else 310 if number <= 12 else 240


def tile(
    grid: DeltaGenerator,
    place: Station,
    summary: StationSummary,
    state: StationState,
    wanting: Sequence[Alert],
    lost: DropTotal | None,
    now: datetime,
) -> None:
    window = formatting.duration(60 * context.settings().window_minutes)
    with grid.container(border=True, height="stretch", key=f"tile-{place.id}"):
        st.html(elements.head(place, state, alert_html.badge(wanting)))
        with st.container(horizontal=True, key=f"body-{place.id}"):
            with st.container(key=f"picture-{place.id}"):
                picture(place, summary, state, now)
            st.html(elements.numbers(summary, window, place.settings.false_reject_rate), width="content")
        if lost is not None:
            st.html(elements.dropped(lost, formatting.clock(lost.first_at, now, context.zone())))
        if summary.recent_scores:
            threshold = summary.latest.threshold if summary.latest else None
            st.echarts_chart(
                scores.sparkline(summary.recent_scores, threshold, context.colours()),
                height=52,
                key=f"sparkline-{place.id}",
                alt=f"The last {len(summary.recent_scores)} scores of {place.name} against its threshold",
            )
        else:
            st.html(f'<div class="andon-no-scores">no scores in the last {window}</div>')
        st.page_link("../station/page.py", label=f"Open {place.name}", query_params={"station": place.name}, icon="")


def picture(place: Station, summary: StationSummary, state: StationState, now: datetime) -> None:
    if state.kind == "no_normal_set":
        st.html(elements.no_picture(state, f"andon normals add {place.name} FOLDER --activate"))
    elif summary.latest is None:
        st.html(elements.no_picture(state, f"andon produce {place.name} --source folder:PATH"))
    elif copy := context.small_copy(summary.latest.image_reference, 640, 480):
        st.image(copy, width="stretch", alt=f"Last frame of {place.name}")
        st.html(elements.caption(summary.latest, now))
    else:
        st.html(
            elements.no_picture(
                StationState(state.kind, "idle", "image_not_supported", "", "The picture can't be had.")
            )
        )
        st.html(elements.caption(summary.latest, now))


def no_stations() -> None:
    st.subheader("No stations yet", icon=":material/add_a_photo:")
    st.markdown("A station is one camera position. Add one, give it a few pictures of good parts, and send frames:")
    st.code(
        "andon station add s1\nandon normals add s1 FOLDER-OF-GOOD-PARTS --activate\n"
        "andon produce s1 --source folder:PATH\nandon score",
        language="bash",
    )


def first_station() -> None:
    """The way in for somebody who has never been here; not part of what is drawn again and again."""
    with context.reading() as session:
        is_empty = not stations.list_all(session)
    if is_empty:
        st.page_link("../add_station/page.py", label="Set up the first station", icon=":material/add_a_photo:")


context.live(wall, None)
first_station()
