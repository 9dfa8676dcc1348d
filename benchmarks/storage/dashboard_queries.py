"""The dashboard's queries, each as a page runs it, over a seeded database."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import count

from sqlalchemy.orm import Session

from alerts.settings import AlertsSettings
from benchmarks.storage.random_rows import random_verdict
from benchmarks.storage.seeded_database import SeededLine
from dashboard.charts import in_control
from dashboard.charts.in_control import InControlPeriod
from storage.alerts import alerts
from storage.auth import audit_log
from storage.auth.audit_log import AuditFilter
from storage.learning import stream_scores
from storage.line import parked_frames, verdicts, what_if
from storage.review import labels, review_queue, reviews, search
from storage.review.review_queue import QueueFilter
from storage.rollups import station_summaries, totals, trends

HOUR, DAY, MONTH = timedelta(hours=1), timedelta(days=1), timedelta(days=30)

Queries = Mapping[str, Callable[[Session], object]]


def dashboard_queries(line: SeededLine, station_count: int) -> Queries:
    """Return the dashboard's queries by name; time ranges end at an odd moment, as they do when a page refreshes."""
    return {
        **_rollup_queries(line),
        **_frame_queries(line),
        **_review_queries(line),
        **_audit_and_alert_queries(line),
        **_write_queries(line, station_count),
    }


def _rollup_queries(line: SeededLine) -> Queries:
    """Return the queries of summaries, counts, trends and charts, which read rollups."""
    here, now = line.station_id, line.now
    shifts = [(shift.since, shift.until) for shift in AlertsSettings().plant.shifts_between(now - MONTH, now)]
    return {
        "summaries, 1 h": lambda s: station_summaries.list_all(s, now - HOUR, 40),
        "summaries, 24 h": lambda s: station_summaries.list_all(s, now - DAY, 40),
        "summaries, 30 d": lambda s: station_summaries.list_all(s, now - MONTH, 40),
        "count": lambda s: verdicts.count(s),
        "count flagged": lambda s: verdicts.count(s, decision="flag"),
        "count flagged, 24 h": lambda s: verdicts.count(s, since=now - DAY, decision="flag"),
        "count of a station, 24 h": lambda s: verdicts.count(s, here, since=now - DAY),
        "trend, 1 h by 1 min": lambda s: trends.trend(s, here, now - HOUR, now, timedelta(minutes=1)),
        "trend, 24 h by 10 min": lambda s: trends.trend(s, here, now - DAY, now, timedelta(minutes=10)),
        "trend, 7 d by 1 h": lambda s: trends.trend(s, here, now - timedelta(days=7), now, HOUR),
        "trend, 30 d by 6 h": lambda s: trends.trend(s, here, now - MONTH, now, timedelta(hours=6)),
        "histogram, 1 h": lambda s: trends.histogram(s, here, now - HOUR, now, 40),
        "histogram, 24 h": lambda s: trends.histogram(s, here, now - DAY, now, 40),
        "histogram, 30 d": lambda s: trends.histogram(s, here, now - MONTH, now, 40),
        "control chart": lambda s: in_control.control_data(s, here, InControlPeriod()),
        "totals by shift, 30 d": lambda s: totals.by_period(s, shifts),
        "totals of 30 d": lambda s: totals.by_station(s, now - MONTH, now),
    }


def _frame_queries(line: SeededLine) -> Queries:
    """Return the queries of verdicts and parked frames."""
    here, now = line.station_id, line.now
    return {
        "recent": lambda s: verdicts.recent(s, limit=100),
        "recent flagged": lambda s: verdicts.recent(s, decision="flag", limit=100),
        "recent without reference": lambda s: verdicts.recent(s, decision="no_reference", limit=100),
        "recent of a station": lambda s: verdicts.recent(s, here, since=now - DAY, limit=100),
        "recent flagged of a station": lambda s: verdicts.recent(s, here, decision="flag", limit=100),
        "recent flagged of a station, page 20": lambda s: verdicts.recent(
            s, here, until=now, decision="flag", limit=50, offset=950
        ),
        "recent passed of a station, page 20": lambda s: verdicts.recent(
            s, here, until=now, decision="pass", limit=50, offset=950
        ),
        "get": lambda s: verdicts.get(s, line.frame_id),
        "parked": lambda s: (parked_frames.count(s), parked_frames.stations_ready(s)),
        "frames to re-score": lambda s: what_if.frames_to_rescore(s, here, 200),
        "scores of the stream, 30 d": lambda s: stream_scores.recent(s, here, here, "5f0c", now - MONTH),
        "parked frames, newest": lambda s: parked_frames.recent(s, here, 24),
        "find a part": lambda s: search.by_part(s, here, line.part_id),
        "find a part of a day": lambda s: search.by_part(s, here, line.part_id, now - DAY, now),
        "frames around a moment": lambda s: search.around(s, here, now - 10 * DAY),
        "flagged nearest to a moment": lambda s: search.nearest_flagged(s, here, now - 10 * DAY),
    }


def _review_queries(line: SeededLine) -> Queries:
    """Return the queries of labels, reviews and the review queue."""
    here, now = line.station_id, line.now
    shifts = [(shift.since, shift.until) for shift in AlertsSettings().plant.shifts_between(now - MONTH, now)]
    return {
        "queue, newest": lambda s: review_queue.list_queued(s, QueueFilter(), limit=50),
        "queue of a station, most uncertain": lambda s: review_queue.list_queued(
            s, QueueFilter(here, "most_uncertain"), limit=50
        ),
        "queue within 2 %, most uncertain": lambda s: review_queue.list_queued(
            s, QueueFilter(order="most_uncertain", borderline=0.02), limit=50
        ),
        "queue, count": lambda s: review_queue.count(s, QueueFilter()),
        "queue, count of a station": lambda s: review_queue.count(s, QueueFilter(here)),
        "review counts, 30 d": lambda s: labels.counts(s, since=now - MONTH, until=now),
        "review counts of a station, 24 h": lambda s: labels.counts(s, here, since=now - DAY, until=now),
        "defect types, 30 d": lambda s: labels.tag_counts(s, since=now - MONTH, until=now),
        "reviews, newest": lambda s: reviews.recent(s, limit=100),
        "reviews of a station": lambda s: reviews.recent(s, here, limit=100),
        "reviewed frames of a station": lambda s: labels.recent(s, here, limit=200),
        "questions of all stations": review_queue.questions,
        "queue, questions": lambda s: review_queue.list_queued(s, QueueFilter(only_questions=True), limit=50),
        "queue, random sample": lambda s: review_queue.list_queued(s, QueueFilter(only_sampled=True), limit=50),
        "review counts by shift, 30 d": lambda s: labels.counts_by_period(s, shifts),
        "newest review of a person": lambda s: reviews.find_latest_by(s, "p1"),
    }


def _audit_and_alert_queries(line: SeededLine) -> Queries:
    """Return the queries of the audit log and of alerts."""
    now = line.now
    return {
        "audit, newest": lambda s: audit_log.list_entries(s),
        "audit of a station, 24 h": lambda s: audit_log.list_entries(s, AuditFilter(since=now - DAY, station="s1")),
        "audit of an action and a person": lambda s: audit_log.list_entries(
            s, AuditFilter(actor="p1", action="review.label")
        ),
        "audit, a text that is nowhere": lambda s: audit_log.list_entries(s, AuditFilter(text="nowhere to be found")),
        "audit, a page far down": lambda s: audit_log.list_entries(s, after=line.entry),
        "alerts: those open, and a page of all": lambda s: (alerts.unresolved(s), alerts.recent(s, limit=12)),
    }


def _write_queries(line: SeededLine, station_count: int) -> Queries:
    """Return the transactions that write: a claim of the review queue, and a batch of verdicts."""
    now, numbers = line.now, count()
    return {
        "claim 1": lambda s: review_queue.claim(s, f"p{next(numbers)}", QueueFilter(), now),
        "record 32 new": lambda s: verdicts.record(
            s, [random_verdict(random.Random(f"{next(numbers)}"), now, 1 + i % station_count) for i in range(32)]
        ),
    }
