from dataclasses import replace
from datetime import timedelta

import pytest

from storage.database.engine import Database
from storage.errors import NotFound
from storage.line import dead_letters
from tests.storage.examples import NOON, make_dead_letter

OTHER_PAYLOAD = f"sha256:{'c' * 64}"


def test_a_dead_letter_is_recorded_once(database: Database) -> None:
    letter = make_dead_letter()
    with database.begin() as session:
        (recorded,) = dead_letters.record(session, [letter, letter])
        assert replace(recorded, id=None) == letter
        (recorded,) = dead_letters.record(session, [letter, make_dead_letter(payload=OTHER_PAYLOAD)])
        assert recorded.payload_reference == OTHER_PAYLOAD
    with database.read() as session:
        found = dead_letters.recent(session)
        assert {replace(letter_read, id=None) for letter_read in found} == {
            letter,
            make_dead_letter(payload=OTHER_PAYLOAD),
        }
        assert dead_letters.get(session, found[0].id or 0) == found[0]
        with pytest.raises(NotFound):
            dead_letters.get(session, 99)


def test_dead_letters_are_newest_first_and_filtered_by_replay(database: Database) -> None:
    letters = [make_dead_letter(offset=number, at=NOON + timedelta(minutes=number)) for number in range(3)]
    with database.begin() as session:
        dead_letters.record(session, letters)
        newest, middle, oldest = dead_letters.recent(session)
        assert [newest.offset, middle.offset, oldest.offset] == [2, 1, 0]
        dead_letters.mark_replayed(session, middle.id or 0, NOON)
        with pytest.raises(NotFound):
            dead_letters.mark_replayed(session, 99, NOON)
    with database.read() as session:
        assert dead_letters.recent(session, replayed=False) == [newest, oldest]
        assert [letter_read.replayed_at for letter_read in dead_letters.recent(session, replayed=True)] == [NOON]
        assert dead_letters.recent(session, limit=1, offset=2) == [oldest]
        counts = [dead_letters.count(session, replayed=which) for which in (None, True, False)]
    assert counts == [3, 1, 2]


def test_hostile_text_is_sanitised(database: Database) -> None:
    hostile = replace(make_dead_letter(error="a\0b" + "x" * 2000), station="\ud800" + "s" * 300, key="k\0")
    with database.begin() as session:
        dead_letters.record(session, [hostile])
    with database.read() as session:
        stored = dead_letters.recent(session)[0]
    assert stored.error == "a\N{REPLACEMENT CHARACTER}b" + "x" * 996 + "…"
    assert stored.station == "?" + "s" * 253 + "…"
    assert stored.key == "k\N{REPLACEMENT CHARACTER}"
