"""A frame survives encoding as a message, and no message can raise anything but BadFrame."""

import contextlib
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import schema
from ingest.bus.protocol import Message, Record, RecordPosition
from ingest.errors import BadFrame
from ingest.frame import Frame, PublishedFrame, mint_frame_id

AT = datetime(2026, 3, 1, 7, 30, 0, 250_000, tzinfo=UTC)
ID = UUID("01956f2a-0000-7000-8000-000000000001")
FRAME = Frame("s1", AT, b"\xff\xd8jpeg", "image/jpeg", part_id="A-7", truth="scratch")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
times = st.integers(0, 7_000_000_000_000_000).map(
    lambda us: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)
)


def record_of(message: Message) -> Record:
    return Record(RecordPosition("t", 0, 0), message.key, message.value, message.headers, AT)


def round_trip(frame: Frame, reference: str | None = None) -> PublishedFrame:
    return schema.decode(record_of(schema.encode(frame, ID, AT, reference)))


def with_headers(**changed: bytes | None) -> Record:
    """Return a valid message with some headers changed, or omitted where None."""
    headers = dict(schema.encode(FRAME, ID, AT, None).headers)
    headers |= {name.replace("_", "-"): value for name, value in changed.items() if value is not None}
    removed = {name.replace("_", "-") for name, value in changed.items() if value is None}
    remaining = tuple((name, value) for name, value in headers.items() if name not in removed)
    return record_of(Message("s1", FRAME.image, remaining))


def test_a_message_is_keyed_by_station_and_has_metadata_headers() -> None:
    message = schema.encode(FRAME, ID, AT + timedelta(seconds=1), None)
    assert message.key == "s1"
    assert message.value == b"\xff\xd8jpeg"
    assert dict(message.headers) == {
        "andon-schema": b"1",
        "frame-id": b"01956f2a-0000-7000-8000-000000000001",
        "station": b"s1",
        "captured-at": b"2026-03-01T07:30:00.250000Z",
        "published-at": b"2026-03-01T07:30:01.250000Z",
        "content-type": b"image/jpeg",
        "part-id": b"A-7",
        "truth": b"scratch",
    }


def test_an_image_may_be_sent_as_a_reference() -> None:
    published = round_trip(FRAME, "sha256:" + "0" * 64)
    assert published.image is None
    assert published.image_reference == "sha256:" + "0" * 64


def test_replacing_the_image_by_a_reference_later_gives_the_same_message() -> None:
    referred = schema.refer(schema.encode(FRAME, ID, AT, None), "sha256:1")
    assert schema.decode(record_of(referred)) == round_trip(FRAME, "sha256:1")


@given(texts.filter(bool), times, st.binary(min_size=1), texts.filter(bool), st.none() | texts, st.none() | texts)
def test_a_frame_survives_encoding_and_decoding(
    station: str, captured_at: datetime, image: bytes, content_type: str, part_id: str | None, truth: str | None
) -> None:
    frame = Frame(station, captured_at, image, content_type, part_id, truth)
    assert round_trip(frame) == PublishedFrame(ID, station, captured_at, AT, content_type, image, None, part_id, truth)


def test_a_source_marks_a_picture_as_bad_and_a_mark_is_never_lost() -> None:
    assert round_trip(FRAME).picture_problem is None
    assert round_trip(replace(FRAME, picture_problem="damaged")).picture_problem == "damaged"
    for mark in (b"", b"\xff" * 300, b"x" * 9_000):
        found = schema.decode(with_headers(picture_problem=mark)).picture_problem
        assert found is not None
        assert 1 <= len(found) <= 40


names = st.sampled_from([name for name, _ in schema.encode(FRAME, ID, AT, "sha256:1").headers]) | st.text(max_size=9)
values = st.binary(max_size=30) | st.sampled_from(
    [b"1", b"2", b"0", b"", b"\xff", b"2026-02-30T00:00:00Z", b"0001-01-01T00:00:00+14:00", b"{" + b"0" * 32 + b"}"]
)


@given(st.lists(st.tuples(names, values), max_size=12), st.binary(max_size=9), st.none() | st.text(max_size=9))
def test_arbitrary_headers_raise_bad_frame_and_nothing_else(
    headers: list[tuple[str, bytes]], value: bytes, key: str | None
) -> None:
    good = schema.encode(FRAME, ID, AT, None).headers
    for all_headers in (tuple(headers), good + tuple(headers)):
        with contextlib.suppress(BadFrame):
            schema.decode(Record(RecordPosition("t", 0, 0), key, value, all_headers, AT))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (record_of(Message("s1", b"image", ())), "no-headers"),
        (with_headers(andon_schema=b"2"), "newer-schema"),
        (with_headers(andon_schema=b"one"), "bad-header"),
        (with_headers(station=None), "bad-header"),
        (with_headers(station=b""), "bad-header"),
        (with_headers(station=b"a\0b"), "bad-header"),
        (with_headers(station=b"s" * 256), "bad-header"),
        (with_headers(frame_id=b"7"), "bad-header"),
        (with_headers(frame_id=None), "bad-header"),
        (with_headers(captured_at=None), "bad-header"),
        (with_headers(published_at=None), "bad-header"),
        (with_headers(captured_at=b"yesterday"), "bad-header"),
        (with_headers(captured_at=b"2026-03-01T07:30:00"), "bad-header"),
        (with_headers(captured_at=b"2026-02-30T07:30:00Z"), "bad-header"),
        (with_headers(image_reference=b"sha256:1"), "bad-header"),
        (record_of(Message("s1", b"", schema.encode(FRAME, ID, AT, None).headers)), "no-image"),
    ],
)
def test_a_bad_message_has_its_reason(record: Record, reason: str) -> None:
    with pytest.raises(BadFrame) as caught:
        schema.decode(record)
    assert caught.value.reason == reason


def test_other_utc_offsets_and_precisions_are_parsed() -> None:
    assert schema.decode(with_headers(captured_at=b"2026-03-01T08:30:00.25+01:00")).captured_at == AT


def test_the_last_of_a_repeated_header_is_used() -> None:
    record = with_headers()
    repeated = Record(record.position, "s1", record.value, (*record.headers, ("truth", b"stain")), AT)
    assert schema.decode(repeated).truth == "stain"


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError):
        schema.encode(Frame("s1", AT.replace(tzinfo=None), b"i", "image/png"), ID, AT, None)


def test_times_in_other_zones_are_written_in_utc() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=9)))
    assert dict(schema.encode(Frame("s1", elsewhere, b"i", "image/png"), ID, AT, None).headers)["captured-at"] == (
        b"2026-03-01T07:30:00.250000Z"
    )


def test_a_file_name_that_is_not_utf8_is_escaped() -> None:
    digest = hashlib.blake2b(b"a\xed\xb3\xbf", digest_size=6).hexdigest()
    assert round_trip(Frame("s1", AT, b"i", "image/png", part_id="a\udcff")).part_id == f"a\\udcff…{digest}"


def test_the_same_identity_gets_the_same_version_7_id() -> None:
    one = mint_frame_id(Frame("s1", AT, b"i", "image/png", identity="a.png"))
    same = mint_frame_id(Frame("s1", AT, b"i", "image/jpeg", part_id="7", identity="a.png"))
    assert one == same
    assert one.version == 7
    assert one.int >> 80 == 1_772_350_200_250  # milliseconds since 1970 of 2026-03-01T07:30:00.25Z
