"""The head of the station page: its state, its numbers, and whether it asks about frames."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, station_state
from dashboard.components import elements
from dashboard.components.elements import Metric
from dashboard.components.question_link import question_link
from dashboard.context import PageContext
from dashboard.html import render
from dashboard.time_ranges import TimeRange
from storage.line import normal_sets, parked_frames, verdicts, workers
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.verdicts import Verdict
from storage.review import labels, review_queue
from storage.rollups import totals
from storage.rollups.station_summaries import StationSummary
from storage.rollups.totals import Totals

LATENCY_FRAMES = 50  # newest frames that the latency is computed from
CAUGHT_WITHIN = timedelta(days=7)


def headline(page: PageContext, station: Station, time_range: TimeRange) -> None:
    """Draw the station's state, and its numbers over the time range."""
    now = page.now()
    since = now - time_range.length
    with page.read() as session:
        summary = summarize(session, station, since)
        newest = verdicts.recent(session, station.id, since=since, limit=LATENCY_FRAMES)
        active = normal_sets.active(session, station.id)
        all_workers = workers.list_all(session)
        asked = review_queue.questions(session).get(station.id, 0)
        labelled = labels.counts(session, station.id, since=now - CAUGHT_WITHIN)
    timeout = timedelta(seconds=page.settings.worker_timeout_s)
    running, silent = (find(all_workers, now, timeout) for find in (station_state.alive, station_state.silent))
    state = station_state.station_state(
        station, summary, running, now, has_active_set=active is not None, silent=silent
    )
    latest = summary.latest
    age = formatting.ago(latest.arrived_at, now) if latest else ""
    age_s = (now - latest.arrived_at).total_seconds() if latest else 0.0
    st.html(
        render("station/station.html", "title", station, state, age, age_s)
        + elements.metrics(
            Metric("Frames", formatting.count(summary.frames), f"in {time_range.name}"),
            share_of("Flagged", summary.flagged, summary.scored),
            share_of("Borderline", summary.borderline, summary.scored, "borderline"),
            share_of("Bad pictures", summary.bad_pictures, summary.frames, "unseen"),
            threshold(newest),
            latency(newest),
            Metric("Normal set", f"v{active.version}" if active else "none", normal_set_note(active, summary.parked)),
            Metric(
                "Caught by review",
                formatting.count(sum(counts.passed_defect for counts in labelled)),
                "passed and labelled a defect, last 7 days",
            ),
        )
    )
    if asked:
        question_link(page, station, asked)


def summarize(session: Session, station: Station, since: datetime) -> StationSummary:
    """Return the numbers of a station since a time, without the scores of a sparkline."""
    counted = totals.by_station(session, since).get(station.id, Totals())
    return StationSummary(
        station_id=station.id,
        latest=verdicts.latest(session, station.id),
        frames=counted.frames,
        flagged=counted.flagged,
        no_reference=counted.no_reference,
        parked=parked_frames.count(session, station.id),
        recent_scores=(),
        bad_pictures=counted.bad_pictures,
        borderline=counted.borderline,
    )


def share_of(name: str, number: int, whole: int, tone: str = "") -> Metric:
    """Return a share of frames with their number; it has a tone only above 0."""
    return Metric(name, formatting.share(number, whole), formatting.plural(number, "frame"), tone if number else "")


def threshold(newest: Sequence[Verdict]) -> Metric:
    """Return the limits of the newest frame that was scored."""
    scored = next((verdict for verdict in newest if verdict.threshold is not None), None)
    note = "flagged above it"
    if scored is not None and scored.review_limit is not None:
        note = f"review limit {formatting.score(scored.review_limit)}"
    return Metric("Threshold", formatting.score(scored.threshold if scored else None), note)


def latency(newest: Sequence[Verdict]) -> Metric:
    """Return the median and the maximum time from capture to verdict."""
    latencies_s = sorted((verdict.decided_at - verdict.captured_at).total_seconds() for verdict in newest)
    if not latencies_s:
        return Metric("Latency", "–", "no frames in this range")
    median, maximum = latencies_s[len(latencies_s) // 2], latencies_s[-1]
    return Metric("Latency", formatting.latency(median), f"median; max {formatting.latency(maximum)}")


def normal_set_note(active: NormalSet | None, waiting: int) -> str:
    """Return how many good parts the normal set has, or how many frames wait for one."""
    if waiting:
        return f"{formatting.plural(waiting, 'frame')} waiting"
    return formatting.plural(len(active.images), "good part") if active else "andon normals add"
