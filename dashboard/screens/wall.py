"""The live wall: a tile a station, and the line's numbers on top."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import alert_words, charts, opening, rules_in_force, states, tiles, words
from dashboard.states import State
from storage import alerts, dead_letters, drops, normal_sets, stations, verdicts, workers
from storage.alerts import Alert
from storage.drops import Dropped
from storage.stations import Station
from storage.verdicts import StationSummary
from storage.workers import Worker

DROPS_SHOWN_FOR = timedelta(hours=24)  # the last shifts


def wall() -> None:
    settings, now = opening.settings(), opening.now()
    window = timedelta(minutes=settings.window_minutes)
    with opening.reading() as session:
        places = stations.list_all(session)
        summaries = {
            summary.station_id: summary
            for summary in verdicts.summaries(session, now - window, settings.sparkline_scores)
        }
        active = normal_sets.active_ids(session)
        scorers = workers.list_all(session)
        today = verdicts.count(session, since=opening.midnight(now))
        flagged_today = verdicts.count(session, since=opening.midnight(now), decision="flag")
        letters = dead_letters.count(session, replayed=False)
        wanting = alerts.unresolved(session)
        lost = drops.since(session, now - DROPS_SHOWN_FOR)
    running = states.alive(scorers, now, timedelta(seconds=settings.worker_timeout_s))
    st.html(strip(today, flagged_today, letters, running, [s for s in scorers if s not in running], wanting))
    if not places:
        no_stations()
        return
    st.html(tiles.rows(1 if len(places) <= 3 else 2))
    grid = st.grid(min_column_width=tile_width(len(places)), gap="small", key="wall")
    for place in places:
        state = states.station_state(place, summaries[place.id], place.id in active, running, now)
        of_place = [alert for alert in wanting if alert.station_id == place.id]
        tile(grid, place, summaries[place.id], state, of_place, lost.get(place.name), now)


def strip(
    today: int,
    flagged: int,
    letters: int,
    running: Sequence[Worker],
    gone: Sequence[Worker],
    wanting: Sequence[Alert],
) -> str:
    """Frames today, flagged share, open alerts, dead letters, workers alive and their lag."""
    lag = sum(worker.lag for worker in running)
    waiting = [worker for worker in running if worker.state == "waiting"]
    note = waiting[0].message if waiting else f"{words.plural(len(gone), 'worker')} gone" if gone else ""
    return tiles.strip(
        tiles.figure("Frames today", words.count(today), "since midnight"),
        tiles.figure("Flagged today", words.share(flagged, today), words.plural(flagged, "frame")),
        tiles.figure("Scorers", str(len(running)) if running else "none", note or "all well", scorer_tone(running)),
        tiles.figure("Lag", words.count(lag), "frames to score", "warn" if lag > 1000 else ""),
        tiles.figure("Alerts", str(len(wanting)) if wanting else "none", alerts_note(wanting), alerts_tone(wanting)),
        tiles.figure("Dead letters", words.count(letters), "not replayed", "warn" if letters else ""),
    )


def scorer_tone(running: Sequence[Worker]) -> str:
    if not running:
        return "bad"
    return "warn" if any(worker.state == "waiting" for worker in running) else ""


def alerts_note(wanting: Sequence[Alert]) -> str:
    """How many nobody sees to yet; alerts of the line itself have no tile, so they are named here."""
    of_line = [rules_in_force.label(alert.rule) for alert in wanting if alert.station_id is None]
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
    state: State,
    wanting: Sequence[Alert],
    lost: Dropped | None,
    now: datetime,
) -> None:
    window = words.duration(60 * opening.settings().window_minutes)
    with grid.container(border=True, height="stretch", key=f"tile-{place.id}"):
        st.html(tiles.head(place, state, alert_words.badge(wanting)))
        with st.container(horizontal=True, key=f"body-{place.id}"):
            with st.container(key=f"picture-{place.id}"):
                picture(place, summary, state, now)
            st.html(tiles.numbers(summary, window, place.settings.false_reject_rate), width="content")
        if lost is not None:
            st.html(tiles.dropped(lost, words.clock(lost.first_at, now, opening.zone())))
        if summary.recent_scores:
            threshold = summary.latest.threshold if summary.latest else None
            st.echarts_chart(
                charts.sparkline(summary.recent_scores, threshold, opening.colours()),
                height=52,
                key=f"sparkline-{place.id}",
                alt=f"The last {len(summary.recent_scores)} scores of {place.name} against its threshold",
            )
        else:
            st.html(f'<div class="andon-no-scores">no scores in the last {window}</div>')
        st.page_link("screens/station.py", label=f"Open {place.name}", query_params={"station": place.name}, icon="")


def picture(place: Station, summary: StationSummary, state: State, now: datetime) -> None:
    if state.kind == "no_normal_set":
        st.html(tiles.no_picture(state, f"andon normals add {place.name} FOLDER --activate"))
    elif summary.latest is None:
        st.html(tiles.no_picture(state, f"andon produce {place.name} --source folder:PATH"))
    elif copy := opening.small_copy(summary.latest.image_reference, 640, 480):
        st.image(copy, width="stretch", alt=f"Last frame of {place.name}")
        st.html(tiles.caption(summary.latest, now))
    else:
        st.html(tiles.no_picture(State(state.kind, "idle", "image_not_supported", "", "The picture can't be had.")))
        st.html(tiles.caption(summary.latest, now))


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
    with opening.reading() as session:
        is_empty = not stations.list_all(session)
    if is_empty:
        st.page_link("screens/add_station.py", label="Set up the first station", icon=":material/add_a_photo:")


opening.live(wall, None)
first_station()
