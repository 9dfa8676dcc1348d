from datetime import datetime, timedelta

import pytest

from dashboard.station import verdict_pages
from dashboard.station.verdict_pages import PAGE_SIZE
from storage.line import verdicts
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from tests.dashboard.seeding import SeededStorage, verdict


def minutes(line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, number: int) -> None:
    """Frame n was captured n minutes ago; every third one is flagged."""
    line.verdicts(
        *(
            verdict(line, s1, normal_set, n, now - timedelta(minutes=n), 0.9 if n % 3 == 0 else 0.1)
            for n in range(number)
        )
    )


def offsets(shown: verdict_pages.VerdictPage) -> list[int]:
    return [frame.offset for frame in shown.frames]


def test_a_page_lists_the_newest_frames_first(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    minutes(line, s1, normal_set, now, 40)
    since = now - timedelta(hours=1)
    with line.database.read() as session:
        first = verdict_pages.read_page(session, s1.id, "Flagged", since, None, 1)
        second = verdict_pages.read_page(session, s1.id, "Flagged", since, None, 2)
        beyond = verdict_pages.read_page(session, s1.id, "Flagged", since, None, 99)
        passed = verdict_pages.read_page(session, s1.id, "Passed", since, None, 1)
    assert offsets(first) == [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33]
    assert (offsets(second), second.total, second.pages) == ([36, 39], 14, 2)
    assert (beyond.number, offsets(beyond)) == (2, [36, 39])
    assert passed.total == 26


def test_a_frozen_list_holds_still_and_counts_what_arrived(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    minutes(line, s1, normal_set, now, 10)
    frozen_at = now + timedelta(seconds=1)
    line.verdicts(verdict(line, s1, normal_set, 100, frozen_at, 0.9))
    with line.database.read() as session:
        shown = verdict_pages.read_page(session, s1.id, "All", now - timedelta(hours=1), frozen_at, 1)
    assert (shown.total, shown.newer, shown.frames[0].offset) == (10, 1, 0)


def test_stepping_from_frame_to_frame_crosses_pages(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    minutes(line, s1, normal_set, now, 30)
    with line.database.read() as session:
        shown = verdict_pages.read_page(session, s1.id, "All", now - timedelta(hours=1), now + timedelta(hours=1), 1)
        last = shown.frames[-1]
        assert verdict_pages.index_of(session, shown, last) == PAGE_SIZE - 1
        following = verdict_pages.frame_at(session, shown, PAGE_SIZE)
        assert following is not None
        assert following.offset == PAGE_SIZE
        assert verdict_pages.index_of(session, shown, following) == PAGE_SIZE  # though the page does not hold it
        assert verdict_pages.frame_at(session, shown, -1) is None
        assert verdict_pages.frame_at(session, shown, 30) is None


def test_a_frame_outside_the_list_has_no_index(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    minutes(line, s1, normal_set, now, 5)
    with line.database.read() as session:
        shown = verdict_pages.read_page(session, s1.id, "Flagged", now - timedelta(hours=1), None, 1)
        passed = verdict_pages.read_page(session, s1.id, "Passed", now - timedelta(hours=1), None, 1).frames[0]
        assert verdict_pages.index_of(session, shown, passed) is None


def test_a_frame_is_named_by_the_address_or_is_the_newest(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime
) -> None:
    minutes(line, s1, normal_set, now, 5)
    other = line.station("other", now)
    with line.database.read() as session:
        shown = verdict_pages.read_page(session, s1.id, "All", now - timedelta(hours=1), None, 1)
        elsewhere = verdict_pages.read_page(session, other.id, "All", now - timedelta(hours=1), None, 1)
        third = shown.frames[3]
        assert verdict_pages.selected_frame(session, shown, str(third.frame_id)) == third
        for unknown in (None, "no-uuid", "00000000-0000-0000-0000-000000000009"):
            assert verdict_pages.selected_frame(session, shown, unknown) == shown.frames[0]
        assert verdict_pages.selected_frame(session, elsewhere, str(third.frame_id)) is None


def test_pagination_ends_at_the_maximum_number_of_pages(
    line: SeededStorage, s1: Station, normal_set: NormalSet, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict_pages, "MAX_PAGES", 2)
    minutes(line, s1, normal_set, now, 30)
    with line.database.read() as session:
        shown = verdict_pages.read_page(session, s1.id, "All", now - timedelta(hours=1), None, 99)
        assert (shown.number, shown.pages, shown.total, shown.reachable) == (2, 2, 30, 24)
        assert verdict_pages.frame_at(session, shown, 23) is not None
        assert verdict_pages.frame_at(session, shown, 24) is None
        oldest = verdicts.recent(session, s1.id, limit=1, offset=29)[0]
        assert verdict_pages.index_of(session, shown, oldest) is None
