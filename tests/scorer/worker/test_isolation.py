"""A frame that the database refuses, whatever the reason, costs no other frame and stops nobody."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scorer import isolation
from scorer.worker.progress import Progress
from testing.line import Line
from tests.scorer.worker.faults import verdict_frame_ids

pytestmark = pytest.mark.usefixtures("one_thread")


def refuse_offsets(line: Line, table: str, first: int, last: int) -> None:
    """Let the database refuse rows of these offsets, with an error that nobody expects."""
    condition = f'"offset" BETWEEN {first} AND {last}'
    if line.services.database_url is None:
        condition = f"NEW.{condition}"
        statement = (
            f"CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    else:
        statement = f"ALTER TABLE {table} ADD CONSTRAINT refused CHECK (NOT ({condition}))"
    with line.database.begin() as session:
        session.execute(text(statement))


def test_a_verdict_that_can_not_be_written_is_a_dead_letter_and_the_others_are_written(line: Line) -> None:
    published = line.publish_parts("s1", 6)
    refuse_offsets(line, "verdicts", 2, 2)
    progress = line.drain()
    assert (progress.frames, progress.verdicts, progress.dead_letters) == (6, 5, 1)
    assert verdict_frame_ids(line) == [*published[:2], *published[3:]]
    (letter,) = line.dead_letters()
    assert (letter.reason, letter.offset, letter.station) == (isolation.REASON, 2, "s1")
    assert dict(letter.headers)["frame-id"] == str(published[2]).encode()
    assert dict(letter.headers)["image-reference"].decode() in line.images
    assert line.drain() == Progress()


def test_a_frame_to_park_that_can_not_be_written_is_one_too(line: Line) -> None:
    line.add_station("s2")
    line.publish_parts("s2", 3)
    refuse_offsets(line, "parked_frames", 1, 1)
    progress = line.drain()
    assert (progress.parked, progress.dead_letters) == (2, 1)
    assert [letter.offset for letter in line.dead_letters()] == [1]


def test_a_database_that_refuses_every_frame_stops_the_worker_uncommitted(line: Line) -> None:
    line.publish_parts("s1", 3)
    refuse_offsets(line, "verdicts", 0, 100)
    with pytest.raises(DBAPIError):
        line.drain()
    assert line.dead_letters() == []
