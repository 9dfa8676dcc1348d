"""Dead letters are published again unchanged, in their order, and are marked once they are durable."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from andon.errors import CommandIncomplete
from ingest.bus.protocol import Headers, Message, Record, readable
from ingest.bus.registry import open_bus
from ingest.frame import Frame
from ingest.schema import decode, encode
from ingest.settings import IngestSettings
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line import dead_letters
from storage.line.dead_letters import DeadLetter
from testing.command_line import Andon
from testing.ports import free_port

FRAME_ID = UUID("01a22b05-f092-73e0-896d-8c8b16a80e08")
FIRST_AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def record_dead_letters(*letters: tuple[str, bytes, str | None, Headers], partition: int = 0) -> None:
    """Record dead letters (reason, payload, key, headers) in the default database, a second apart."""
    images = ImageStore(".andon/images")
    with closing(Database("sqlite:///.andon/andon.db")) as database:
        database.upgrade()
        with database.begin() as session:
            dead_letters.record(
                session,
                [
                    DeadLetter(
                        id=None,
                        topic="an-old-topic",
                        partition=partition,
                        offset=number,
                        reason=reason,
                        error="It can't be decoded.",
                        station="s1",
                        key=key,
                        headers=headers,
                        payload_reference=images.put(payload),
                        payload_bytes=len(payload),
                        occurred_at=FIRST_AT + timedelta(seconds=number),
                        replayed_at=None,
                    )
                    for number, (reason, payload, key, headers) in enumerate(letters)
                ],
            )


def published_records() -> list[Record]:
    settings = IngestSettings()
    with closing(open_bus(settings)) as bus, closing(bus.consumer(settings.topic, "looking")) as consumer:
        return readable(consumer.poll(max_records=100, timeout_s=2.0))


def test_a_replayed_message_is_the_original_byte_for_byte(andon: Andon) -> None:
    headers = (("station", b"s1"), ("odd", b"\xff\x00"))
    record_dead_letters(("no-headers", b"the payload", "s1", headers))
    assert andon("dead-letters", "replay", "1").out == "1 dead letter replayed to andon.frames.\n"
    (record,) = published_records()
    assert (record.key, record.value, record.headers) == ("s1", b"the payload", headers)


def test_a_letter_that_was_refused_for_a_long_text_becomes_a_frame(andon: Andon) -> None:
    """Releases that refused a part id above 255 characters left such letters behind."""
    path = "/".join(["Los-1"] * 60) + "/camera-left-part-0001.png"
    taken = Frame("s1", FIRST_AT, b"the picture", "image/png")
    current = encode(taken, FRAME_ID, FIRST_AT, None)
    record_dead_letters(("bad-header", current.value, "s1", (*current.headers, ("part-id", path.encode()))))
    assert andon("dead-letters", "replay", "--all", "--reason", "bad-header").code == 0
    frame = decode(*published_records())
    assert (frame.frame_id, frame.image, frame.repaired) == (FRAME_ID, b"the picture", ("part-id",))
    assert frame.part_id is not None
    assert (len(frame.part_id), frame.part_id[:6], frame.part_id[-13:]) == (255, "Los-1/", "part-0001.png")


def test_a_replayed_letter_is_not_replayed_again(andon: Andon) -> None:
    record_dead_letters(("no-image", b"1", "s1", ()), ("no-image", b"2", "s1", ()), ("bad-header", b"3", "s1", ()))
    andon("dead-letters", "replay", "2")
    assert [letter["id"] for letter in json.loads(andon("dead-letters", "list", "--json").out)] == [3, 1]
    assert andon("dead-letters", "replay", "--all", "--reason", "no-image").out.startswith("1 dead letter replayed")
    assert andon("dead-letters", "replay", "--all").out.startswith("1 dead letter replayed")
    assert andon("dead-letters", "replay", "--all").out.startswith("0 dead letters replayed")
    assert [record.value for record in published_records()] == [b"2", b"1", b"3"]
    all_letters = json.loads(andon("dead-letters", "list", "--replayed", "--json").out)
    assert all(letter["replayed_at"] is not None for letter in all_letters)


def test_many_replayed_letters_keep_their_order(andon: Andon) -> None:
    record_dead_letters(*(("no-image", str(number).encode(), "s1", ()) for number in range(120)))
    assert andon("dead-letters", "replay", "--all").code == 0
    settings = IngestSettings()
    with closing(open_bus(settings)) as bus, closing(bus.consumer(settings.topic, "looking")) as consumer:
        values = [record.value for _ in range(3) for record in readable(consumer.poll(max_records=100, timeout_s=1.0))]
    assert values == [str(number).encode() for number in range(120)]


def test_a_letter_with_a_missing_payload_is_kept(andon: Andon) -> None:
    record_dead_letters(("no-image", b"1", "s1", ()))
    (image_file,) = (path for path in Path(".andon/images").rglob("*") if path.is_file())
    image_file.unlink()
    finished = andon("dead-letters", "replay", "1")
    assert (finished.code, len(finished.err.splitlines())) == (1, 1)
    assert len(json.loads(andon("dead-letters", "list", "--json").out)) == 1


def test_a_letter_is_kept_while_the_bus_is_unavailable(andon: Andon, monkeypatch: pytest.MonkeyPatch) -> None:
    record_dead_letters(("no-image", b"1", "s1", ()))
    monkeypatch.setenv("ANDON_INGEST__BUS", "kafka")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("ANDON_INGEST__KAFKA_UNAVAILABLE_AFTER_S", "1")
    finished = andon("dead-letters", "replay", "1")
    assert (finished.code, len(finished.err.splitlines())) == (1, 1)
    assert len(json.loads(andon("dead-letters", "list", "--json").out)) == 1


def test_a_letter_is_shown_with_its_headers_and_its_payload_is_never_overwritten(andon: Andon, tmp_path: Path) -> None:
    record_dead_letters(("no-image", b"the payload", None, (("station", b"s1"),)))
    shown = json.loads(andon("dead-letters", "show", "1", "--json", "--save", tmp_path / "payload").out)
    assert (tmp_path / "payload").read_bytes() == b"the payload"
    assert shown["headers"] == [{"name": "station", "value": "s1"}]
    assert (shown["reason"], shown["topic"], shown["offset"], shown["key"]) == ("no-image", "an-old-topic", 0, None)
    again = andon("dead-letters", "show", "1", "--save", tmp_path / "payload")
    assert again.code == 1
    assert "payload" in again.err


@pytest.mark.parametrize("command", [("dead-letters", "list"), ("dead-letters", "show", "1")])
def test_the_tables_name_the_reason(command: tuple[str, ...], andon: Andon) -> None:
    record_dead_letters(("no-image", b"1", "s1", (("station", b"s1"),)))
    assert "no-image" in andon(*command).out


def test_what_the_bus_could_not_read_is_read_again_and_what_it_still_can_not_stays(andon: Andon) -> None:
    settings = IngestSettings()
    with closing(open_bus(settings)) as bus, closing(bus.publisher("an-old-topic")) as publisher:
        for number in range(3):
            publisher.publish(Message("s1", b"%d" % number, (("n", b"1"),)), lambda *_: None)
        publisher.flush(30)
    with closing(sqlite3.connect(settings.embedded_path)) as file, file:
        (partition,) = file.execute("SELECT DISTINCT partition FROM records").fetchone()
        file.execute("UPDATE records SET headers = x'00' WHERE offset = 1")
    record_dead_letters(*((dead_letters.UNREADABLE, b"raw", None, ()) for _ in range(4)), partition=partition)
    refused = andon("dead-letters", "replay", "--all")
    assert (refused.code, type(refused.error)) == (1, CommandIncomplete)
    assert [(record.key, record.value, record.headers) for record in published_records()] == [
        ("s1", b"0", (("n", b"1"),)),
        ("s1", b"2", (("n", b"1"),)),
    ]
    left = json.loads(andon("dead-letters", "list", "--json").out)
    assert [one["offset"] for one in left] == [3, 1]  # one that is not there, and the damaged one
