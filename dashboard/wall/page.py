"""The live wall: the line's numbers on top, and a tile per station."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import streamlit as st
from markupsafe import Markup
from sqlalchemy.orm import Session

from dashboard import formatting, station_state
from dashboard.alerts import effective_rules
from dashboard.components import elements
from dashboard.components.elements import Metric
from dashboard.context import PageContext, draw_live
from dashboard.wall import kiosk
from dashboard.wall.order import natural
from dashboard.wall.tile import TileData, draw_tile
from storage.alerts import alert_watch, alerts
from storage.alerts.alerts import Alert
from storage.line import dead_letters, drops, normal_sets, stations, verdicts, workers
from storage.line.drops import DropTotal
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.line.workers import WorkerStatus
from storage.review import labels, review_queue
from storage.rollups import station_summaries
from storage.rollups.station_summaries import StationSummary

DROPS_SHOWN_FOR = timedelta(hours=24)
CAUGHT_WITHIN = timedelta(days=7)
HIGH_LAG_FRAMES = 1000
FIRST_STEPS = (
    "andon station add s1\nandon normals add s1 FOLDER-OF-GOOD-PARTS --activate\n"
    "andon produce s1 --source folder:PATH\nandon score"
)


def wall_page(page: PageContext) -> None:
    """Draw the wall, refreshed by itself; for an empty line, the way to its first station."""
    draw_live(page, wall, None)
    with page.read() as session:
        has_stations = bool(stations.list_all(session))
    if not has_stations:
        st.page_link(page.pages["add-station"], label="Set up the first station", icon=":material/add_a_photo:")


@dataclass(frozen=True, slots=True)
class WallData:
    """What the wall shows, as one transaction saw it; mappings are by station id, drops by station name."""

    stations: Sequence[Station]
    summaries: Mapping[int, StationSummary]
    with_active_set: Collection[int]
    workers: Sequence[WorkerStatus]
    frames_today: int
    flagged_today: int
    passed_today: int
    bad_today: int
    dead_letters: int
    alerts: Sequence[Alert]
    is_watched: bool
    dropped: Mapping[str, DropTotal]
    asked: Mapping[int, int]
    caught: Mapping[int, int]
    last_flagged: Mapping[int, Verdict]


def wall(page: PageContext) -> None:
    """Draw the strip of numbers and the tiles, read in one transaction; in the kiosk without a menu or links."""
    now = page.now()
    with page.read() as session:
        data = read_wall(page, session, now)
    if not data.stations:
        no_stations()
        return
    timeout = timedelta(seconds=page.settings.worker_timeout_s)
    running, silent = (find(data.workers, now, timeout) for find in (station_state.alive, station_state.silent))
    gap = station_state.heartbeat_gap([*running, *silent], now)
    problem = page.write_problem() if gap is not None else None
    tiles = [tile_of(station, data, running, silent, now) for station in by_name(data.stations)]
    metrics = line_metrics(data, running, gap)
    if kiosk.is_requested():
        problems = [] if problem is None else [Metric("Scorers", "can't report", problem, "bad")]
        kiosk.draw_kiosk(page, tiles, [*problems, *metrics], now)
        return
    if problem is not None:
        st.error(f"No scorer can report: {problem}", icon=":material/database_off:")
    st.html(elements.metrics(*metrics))
    st.html(row_count_style(1 if len(data.stations) <= 3 else 2))
    grid = st.grid(min_column_width=tile_width(len(data.stations)), gap="small", key="wall")
    for tile in tiles:
        draw_tile(page, grid, tile, now)


def by_name(found: Sequence[Station]) -> list[Station]:
    """Return the stations as people count them, s2 before s10."""
    return sorted(found, key=lambda station: natural(station.name))


def read_wall(page: PageContext, session: Session, now: datetime) -> WallData:
    """Read everything that the wall shows."""
    today, since = page.start_of_day(now), now - timedelta(minutes=page.settings.window_minutes)
    summaries = station_summaries.list_all(session, since, page.settings.sparkline_scores)
    return WallData(
        stations=stations.list_all(session),
        summaries={summary.station_id: summary for summary in summaries},
        with_active_set=normal_sets.active_ids(session),
        workers=workers.list_all(session),
        frames_today=verdicts.count(session, since=today),
        flagged_today=verdicts.count(session, since=today, decision="flag"),
        passed_today=verdicts.count(session, since=today, decision="pass"),
        bad_today=verdicts.count(session, since=today, decision="bad_picture"),
        dead_letters=dead_letters.count(session, replayed=False),
        alerts=alerts.unresolved(session),
        is_watched=alert_watch.holder(session, now) is not None,
        dropped=drops.totals_since(session, now - DROPS_SHOWN_FOR),
        asked=review_queue.questions(session),
        caught={one.station_id: one.passed_defect for one in labels.counts(session, since=now - CAUGHT_WITHIN)},
        last_flagged=verdicts.latest_flagged(session, since),
    )


def line_metrics(data: WallData, running: Sequence[WorkerStatus], gap: timedelta | None) -> list[Metric]:
    """Return the numbers of the whole line; `running` are the scorers alive, and `gap` is how late a heartbeat is."""
    scored_today = data.flagged_today + data.passed_today
    return [
        Metric("Frames today", formatting.count(data.frames_today), "since midnight"),
        Metric(
            "Flagged today",
            formatting.share(data.flagged_today, scored_today),
            formatting.plural(data.flagged_today, "frame"),
        ),
        Metric(
            "Bad pictures today",
            formatting.share(data.bad_today, data.frames_today),
            formatting.plural(data.bad_today, "frame"),
            "unseen" if data.bad_today else "",
        ),
        *scorer_metrics(running, len(data.workers) - len(running), gap),
        alerts_metric(data.alerts, is_watched=data.is_watched),
        Metric(
            "Dead letters", formatting.count(data.dead_letters), "not replayed", "warn" if data.dead_letters else ""
        ),
        *deleted_metrics(data.dropped.get(drops.NO_STATION)),
    ]


def tile_of(
    station: Station,
    data: WallData,
    running: Sequence[WorkerStatus],
    silent: Sequence[WorkerStatus],
    now: datetime,
) -> TileData:
    """Return the data of a station's tile; its state is as bad as its worst open alert."""
    summary = data.summaries[station.id]
    state = station_state.station_state(
        station, summary, running, now, has_active_set=station.id in data.with_active_set, silent=silent
    )
    own_alerts = [alert for alert in data.alerts if alert.station_id == station.id]
    return TileData(
        station,
        summary,
        station_state.with_alerts(state, own_alerts),
        own_alerts,
        data.dropped.get(station.name),
        asked=data.asked.get(station.id, 0),
        caught_by_review=data.caught.get(station.id, 0),
        last_flagged=data.last_flagged.get(station.id),
    )


def scorer_metrics(running: Sequence[WorkerStatus], not_running: int, gap: timedelta | None) -> tuple[Metric, Metric]:
    """Return the number of scorers alive, with their problems, and their lag in frames.

    `gap` is the time since the newest heartbeat of all scorers where it is late.
    """
    waiting = next((worker for worker in running if worker.state == "waiting"), None)
    lag = sum(worker.lag for worker in running)
    if gap is not None:
        note = f"no heartbeat for {formatting.duration(gap.total_seconds())}"
    elif waiting is not None:
        note = waiting.message
    else:
        note = f"{formatting.plural(not_running, 'scorer')} not running" if not_running else "all running"
    tone = "bad" if not running else "warn" if waiting is not None or gap is not None else ""
    return (
        Metric("Scorers", str(len(running)) if running else "none", note if running or not_running else "", tone),
        Metric("Lag", formatting.count(lag), "frames to score", "warn" if lag > HIGH_LAG_FRAMES else ""),
    )


def alerts_metric(unresolved: Sequence[Alert], *, is_watched: bool) -> Metric:
    """Return the number of alerts with how many are not acknowledged; alerts of the whole line are named.

    While no process evaluates the rules, that is what it says: no alert would be opened.
    """
    if not is_watched:
        number = "not watched" if not unresolved else str(len(unresolved))
        return Metric("Alerts", number, "nobody evaluates the rules: start a scorer", "bad")
    if not unresolved:
        return Metric("Alerts", "none", "no open alert")
    line_alerts = [effective_rules.name(alert.rule) for alert in unresolved if alert.station_id is None]
    opened = sum(alert.state == "opened" for alert in unresolved)
    note = "; ".join([*line_alerts, f"{opened} not acknowledged" if opened else "acknowledged"])
    critical = any(alert.severity == "critical" and alert.state == "opened" for alert in unresolved)
    return Metric("Alerts", str(len(unresolved)), note, "bad" if critical else "warn")


def deleted_metrics(deleted: DropTotal | None) -> list[Metric]:
    """Return the number of frames that were deleted from the bus unread, if there are any."""
    if deleted is None:
        return []
    return [Metric("Not inspected", formatting.count(deleted.frames), "deleted from the bus unread, in 24 h", "bad")]


def tile_width(number: int) -> int:
    """Return the minimum width of a tile in pixels; the more stations, the smaller."""
    return 400 if number <= 6 else 310 if number <= 12 else 240


def row_count_style(rows: int) -> Markup:
    """Return the style that gives the style sheet the number of rows of tiles that fit one screen."""
    return Markup("<style>.st-key-wall {{ --andon-rows: {}; }}</style>").format(rows)


def no_stations() -> None:
    """Draw the first steps for a line without stations."""
    st.subheader("No stations yet", icon=":material/add_a_photo:")
    st.markdown("A station is one camera position. Add one, give it a few images of good parts, and send frames:")
    st.code(FIRST_STEPS, language="bash")
