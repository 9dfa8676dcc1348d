"""Totals, trends and histograms against the same sums made frame by frame in Python."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from storage.database.engine import Database
from storage.database.tables import ScoreRollupRow, VerdictRollupRow
from storage.errors import InvalidChange
from storage.line import verdicts
from storage.line.decision import Decision
from storage.line.verdicts import Verdict
from storage.rollups import score_rollups, totals, trends, verdict_rollups
from storage.rollups.score_rollups import rounded_down, step_of
from storage.rollups.totals import Totals
from storage.rollups.verdict_rollups import WIDTHS, RangePart, split_range
from tests.storage.examples import add_active_set, add_station, make_verdict

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
START = datetime(2026, 3, 13, 22, 58, 30, tzinfo=UTC)  # near the ends of a minute, an hour and a day
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

moments = st.one_of(
    st.integers(0, 3 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.integers(0, 2 * 60_000_000).map(lambda microseconds: START + timedelta(microseconds=microseconds)),
    st.sampled_from([START.replace(minute=59, second=0), START.replace(day=14, hour=0, minute=0, second=0)]),
)
decisions: st.SearchStrategy[Decision] = st.sampled_from(get_args(Decision))
frames = st.lists(st.tuples(moments, decisions, st.integers(-2000, 20_000)), min_size=1, max_size=30)
buckets = st.sampled_from([timedelta(seconds=7), MINUTE, 1.5 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY])
each_database = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def record_frames(database: Database, frames_to_record: list[tuple[datetime, Decision, int]]) -> list[Verdict]:
    """Record verdicts at a new station, in two batches."""
    with database.begin() as session:
        active = add_active_set(session, add_station(session))
        batch = [
            make_verdict(active, at=at, decision=decision, score=score / 10_000, review_limit=0.2)
            for at, decision, score in frames_to_record
        ]
        verdicts.record(session, batch[::2])
    with database.begin() as session:
        verdicts.record(session, batch)
    return batch


@each_database
@given(frames_to_record=frames, since=moments, until=moments)
def test_counts_are_right_for_every_range(
    database: Database, frames_to_record: list[tuple[datetime, Decision, int]], since: datetime, until: datetime
) -> None:
    batch = record_frames(database, frames_to_record)
    station_id = batch[0].station_id
    for low, high in [(since, until), (None, until), (since, None), (None, None)]:
        inside = [each for each in batch if (low or EPOCH) <= each.captured_at < (high or FAR)]
        with database.read() as session:
            found = Counter(
                {
                    decision: verdicts.count(session, station_id, since=low, until=high, decision=decision)
                    for decision in get_args(Decision)
                }
            )
            assert found == Counter(each.decision for each in inside)
            assert verdicts.count(session, station_id, since=low, until=high) == len(inside)
            borderline = totals.by_station(session, low, high).get(station_id, Totals()).borderline
            assert borderline == sum(each.is_borderline for each in inside)


@settings(each_database, max_examples=12)
@given(frames_to_record=frames, borders=st.lists(moments, min_size=2, max_size=6))
def test_totals_of_many_periods_equal_those_of_each(
    database: Database, frames_to_record: list[tuple[datetime, Decision, int]], borders: list[datetime]
) -> None:
    record_frames(database, frames_to_record)
    periods = list(itertools.pairwise(sorted(borders)))
    with database.read() as session:
        one_by_one = [totals.by_station(session, since, until) for since, until in periods]
        assert totals.by_period(session, periods) == one_by_one
        assert totals.by_period(session, []) == []


@each_database
@given(frames_to_record=frames, since=moments, until=moments, bucket=buckets)
def test_a_trend_aggregates_the_frames_of_each_bucket(
    database: Database,
    frames_to_record: list[tuple[datetime, Decision, int]],
    since: datetime,
    until: datetime,
    bucket: timedelta,
) -> None:
    batch = record_frames(database, frames_to_record)
    inside = [each for each in batch if since <= each.captured_at < until]
    by_bucket: dict[datetime, list[Verdict]] = {}
    for each in inside:
        by_bucket.setdefault(EPOCH + (each.captured_at - EPOCH) // bucket * bucket, []).append(each)
    with database.read() as session:
        points = trends.trend(session, batch[0].station_id, since, until, bucket)
    assert [point.started_at for point in points] == sorted(by_bucket)
    for point in points:
        of_bucket = by_bucket[point.started_at]
        scores = [each.score for each in of_bucket if each.score is not None]
        assert point.frames == len(of_bucket)
        assert point.flagged == sum(each.decision == "flag" for each in of_bucket)
        assert point.score_max == (max(scores) if scores else None)
        assert point.score_mean == (pytest.approx(sum(scores) / len(scores)) if scores else None)
        assert point.threshold == (0.5 if scores else None)


@each_database
@given(frames_to_record=frames, since=moments, until=moments, bins=st.integers(1, 40))
def test_a_histogram_counts_every_score_in_its_bin(
    database: Database,
    frames_to_record: list[tuple[datetime, Decision, int]],
    since: datetime,
    until: datetime,
    bins: int,
) -> None:
    batch = record_frames(database, frames_to_record)
    inside = [each for each in batch if since <= each.captured_at < until]
    scores = [Decimal(str(each.score)) for each in inside if each.score is not None]
    with database.read() as session:
        found = trends.histogram(session, batch[0].station_id, since, until, bins)
    assert sum(total for *_, total in found) == len(scores)
    assert len(found) <= max(bins, 2)  # one bin can't hold scores on both sides of 0
    assert bool(found) == bool(scores)
    for low, high, total in found:
        assert total == sum(Decimal(str(low)) <= score < Decimal(str(high)) for score in scores)


@each_database
@given(frames_to_record=frames)
def test_rebuilt_rollups_equal_those_kept_up_to_date(
    database: Database, frames_to_record: list[tuple[datetime, Decision, int]]
) -> None:
    record_frames(database, frames_to_record)
    tables = (VerdictRollupRow.__table__, ScoreRollupRow.__table__)
    with database.begin() as session:
        rounded = [sorted(map(tuple, session.execute(select(table)))) for table in tables]
        verdict_rollups.rebuild(session)
        score_rollups.rebuild(session)
        rebuilt = [sorted(map(tuple, session.execute(select(table)))) for table in tables]
    for expected, found_row in zip([*rounded[0], *rounded[1]], [*rebuilt[0], *rebuilt[1]], strict=True):
        assert (
            found_row == pytest.approx(expected)
            if all(isinstance(value, float) for value in expected)
            else rows_close(found_row, expected)
        )


def test_borderline_frames_are_counted_as_they_come_and_when_rollups_are_rebuilt(database: Database) -> None:
    scores = [1999, 2000, 2001, 5000, 5001]  # the review limit is 0.2, the threshold 0.5
    batch = record_frames(database, [(START, "flag" if score > 5000 else "pass", score) for score in scores])
    with database.begin() as session:
        counted = totals.by_station(session, START - HOUR, START + HOUR)[batch[0].station_id]
        verdict_rollups.rebuild(session)
        rebuilt = totals.by_station(session, START - HOUR, START + HOUR)[batch[0].station_id]
    assert counted == rebuilt == Totals(5, flagged=1, borderline=2)
    assert counted + rebuilt == Totals(10, flagged=2, borderline=4)


def rows_close(found_row: tuple[object, ...], expected: tuple[object, ...]) -> bool:
    return all(
        found_row[i] == (pytest.approx(expected[i], abs=1e-12) if isinstance(expected[i], float) else expected[i])
        for i in range(len(expected))
    )


@given(since=st.none() | moments, until=st.none() | moments)
def test_range_parts_follow_each_other_without_gap_or_overlap(since: datetime | None, until: datetime | None) -> None:
    assume(since is None or until is None or since < until)
    parts = split_range(since, until)
    assert (parts[0].since, parts[-1].until) == (since, until)
    assert [each.until for each in parts[:-1]] == [each.since for each in parts[1:]]
    for each in parts:
        for end in (each.since, each.until):
            assert each.width is None or end is None or (end - EPOCH) % each.width == timedelta(0)
    ragged = [each for each in parts if each.width is None]
    assert all(each.since and each.until and each.until - each.since < MINUTE for each in ragged) or len(parts) == 1


def test_a_time_range_is_split_into_days_hours_minutes_and_ends() -> None:
    since = datetime(2026, 3, 13, 23, 58, 30, tzinfo=UTC)
    until = datetime(2026, 3, 15, 1, 1, 10, tzinfo=UTC)
    day = datetime(2026, 3, 14, tzinfo=UTC)
    assert split_range(since, until) == [
        RangePart(None, since, since + timedelta(seconds=30)),
        RangePart(MINUTE, since + timedelta(seconds=30), day),
        RangePart(DAY, day, day + DAY),
        RangePart(HOUR, day + DAY, day + DAY + HOUR),
        RangePart(MINUTE, day + DAY + HOUR, day + DAY + HOUR + MINUTE),
        RangePart(None, until - timedelta(seconds=10), until),
    ]
    assert split_range(until, since) == []
    assert split_range(None, None) == [RangePart(WIDTHS[0], None, None)]


@pytest.mark.parametrize(
    ("score", "rounded"),
    [(0.12399, 0.123), (-0.12301, -0.124), (0.29, 0.29), (1.239, 1.23), (57.19, 57.1), (123_456.0, 123_000.0), (0, 0)],
)
def test_a_score_is_rounded_down_to_three_digits(score: float, rounded: float) -> None:
    assert rounded_down(score) == rounded
    assert rounded_down(rounded) == rounded


@given(st.floats(-1e6, 1e6))
def test_the_rounding_error_is_less_than_a_step(score: float) -> None:
    cut_off = score - rounded_down(score)
    assert -2e-9 * step_of(score) <= cut_off <= step_of(score) * (1 + 1e-6)


def test_equal_scores_share_one_bin(database: Database) -> None:
    batch = record_frames(database, [(START, "pass", 3000), (START + MINUTE, "pass", 3000)])
    with database.read() as session:
        found = trends.histogram(session, batch[0].station_id, START, START + HOUR, 40)
        assert found == [(0.3, 0.301, 2)]
        assert trends.histogram(session, batch[0].station_id, START + HOUR, START + DAY, 40) == []


def test_an_empty_bucket_or_bin_is_refused(database: Database) -> None:
    with database.read() as session:
        with pytest.raises(InvalidChange):
            trends.trend(session, 1, START, START + HOUR, timedelta(0))
        with pytest.raises(InvalidChange):
            trends.histogram(session, 1, START, START + HOUR, 0)
