"""No metadata and no time costs a picture without a word, and each capture has an id of its own."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.clock import ceil_to, floor_to
from ingest import schema
from ingest.errors import BadFrame
from ingest.frame import Frame, mint_frame_id
from ingest.metadata import fit
from tests.ingest.test_schema import AT, FRAME, round_trip, with_headers

captures = st.builds(
    Frame,
    station=st.sampled_from(["s1", "s2"]),
    captured_at=st.sampled_from([AT, AT + timedelta(seconds=1)]),
    image=st.sampled_from([b"i", b"j"]),
    content_type=st.just("image/png"),
    identity=st.sampled_from(["/cameras/1/0001.bmp", "/cameras/2/0001.bmp", "a\udcff"]),
)


@given(captures, captures)
def test_two_captures_have_one_id_exactly_when_station_time_identity_and_bytes_are_the_same(
    one: Frame, other: Frame
) -> None:
    assert (mint_frame_id(one) == mint_frame_id(other)) == (one == other)


any_text = st.text(st.characters(exclude_categories=()), max_size=400)
far_times = st.datetimes(timezones=st.sampled_from([UTC, *(timezone(timedelta(hours=h)) for h in (-14, -12, 9, 14))]))


@given(any_text, any_text, any_text)
def test_no_text_costs_the_picture(content_type: str, part_id: str, truth: str) -> None:
    frame = Frame("s1", AT, b"i", content_type, part_id, truth)
    published = round_trip(frame)
    assert published.image == b"i"
    assert published.repaired == ()  # what was sent is fit already
    for text, limit in ((published.content_type, 40), (published.part_id or "", 255), (published.truth or "", 120)):
        assert len(text) <= limit
        assert "\0" not in text
        text.encode()


@given(st.binary(max_size=400), st.binary(max_size=400), st.binary(max_size=400))
def test_no_metadata_of_another_producer_costs_the_picture(content_type: bytes, part_id: bytes, truth: bytes) -> None:
    published = schema.decode(with_headers(content_type=content_type, part_id=part_id, truth=truth))
    assert published.image == FRAME.image
    for name, raw, text in (("part-id", part_id, published.part_id), ("truth", truth, published.truth)):
        assert text is not None
        assert (name in published.repaired) == (text.encode() != raw)
        assert len(text) <= schema.MAX_CHARACTERS[name]


@given(any_text, any_text, st.integers(20, 300))
def test_two_texts_that_differ_still_differ_once_they_are_fit(one: str, other: str, limit: int) -> None:
    assert (fit(one, limit) == fit(other, limit)) == (one == other)


def test_a_path_that_is_too_long_keeps_its_beginning_its_end_and_a_digest() -> None:
    path = "/".join(["Los-" * 25] * 3 + ["camera-left-part-0001.png"])
    assert len(path) == 328
    kept = round_trip(Frame("s1", AT, b"i", "image/png", part_id=path)).part_id
    digest = hashlib.blake2b(path.encode(), digest_size=6).hexdigest()
    assert kept == f"{path[:120]}…{digest}…{path[-121:]}"
    assert schema.repaired_names(Frame("s1", AT, b"i", "image/png", part_id=path)) == ("part-id",)


def test_a_message_without_a_content_type_is_read() -> None:
    assert schema.decode(with_headers(content_type=None)).content_type == "application/octet-stream"


@given(far_times)
def test_a_time_is_read_exactly_or_refused_as_impossible(at: datetime) -> None:
    if schema.EARLIEST <= at < schema.END:
        assert round_trip(replace(FRAME, captured_at=at)).captured_at == at
        return
    with pytest.raises(BadFrame) as caught:
        round_trip(replace(FRAME, captured_at=at))
    assert caught.value.reason == "impossible-time"


@pytest.mark.parametrize(
    "zero_or_maximum",
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-12:00"],
)
def test_what_other_platforms_send_for_no_time_is_refused_as_impossible(zero_or_maximum: str) -> None:
    for name in ("captured_at", "published_at"):
        with pytest.raises(BadFrame) as caught:
            schema.decode(with_headers(**{name: zero_or_maximum.encode()}))
        assert caught.value.reason == "impossible-time"


@pytest.mark.parametrize("hours", [-12, -9.5, 0, 5.75, 14])
def test_the_first_and_the_last_time_that_is_read_exist_everywhere_on_earth_and_in_every_time_bucket(
    hours: float,
) -> None:
    there = timezone(timedelta(hours=hours))
    for at in (schema.EARLIEST, schema.END - timedelta(microseconds=1)):
        assert round_trip(replace(FRAME, captured_at=at)).captured_at == at
        assert at.astimezone(there) == at
        assert floor_to(at, timedelta(days=1)) <= at <= ceil_to(at, timedelta(days=1))


def test_a_leap_second_is_the_second_before() -> None:
    published = schema.decode(with_headers(captured_at=b"2016-12-31T23:59:60Z"))
    assert published.captured_at == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)
