"""Motion JPEG over HTTP is read in every way that browsers show it."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.video.multipart import MAX_PART_BYTES, read_parts

IMAGES = [b"\xff\xd8 first \xff\xd9", b"\xff\xd8\r\nsecond: \n\r\n\xff\xd9", b"\xff\xd8--third-\xff\xd9"]


def parts(body: bytes, boundary: str = "frame") -> list[bytes]:
    return list(read_parts(io.BytesIO(body), boundary))


def body(
    images: list[bytes],
    delimiter: bytes = b"--frame",
    headers: bytes = b"Content-Type: image/jpeg",
    has_length: bool = True,
    line_end: bytes = b"\r\n",
) -> bytes:
    written = b""
    for image in images:
        length = line_end + b"Content-Length: %d" % len(image) if has_length else b""
        written += delimiter + line_end + headers + length + line_end * 2 + image + line_end
    return written + delimiter + b"--" + line_end


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize(
    "headers", [b"Content-Type: image/jpeg", b"content-type:image/jpg", b"Content-Type: image/jpeg; charset=utf-8"]
)
@pytest.mark.parametrize(
    ("boundary", "delimiter"),
    [
        ("frame", b"--frame"),
        ("--frame", b"--frame"),
        ("--frame", b"----frame"),
        ('"frame"', b"--frame"),
        ("", b"--frame"),
        ("a:b.c_d=", b"--a:b.c_d="),
    ],
)
def test_each_part_is_an_image_however_the_camera_delimits_it(
    boundary: str, delimiter: bytes, headers: bytes, has_length: bool, line_end: bytes
) -> None:
    assert parts(body(IMAGES, delimiter, headers, has_length, line_end), boundary) == IMAGES


@pytest.mark.parametrize("has_length", [True, False])
def test_the_first_delimiter_may_be_missing(has_length: bool) -> None:
    late = body(IMAGES, has_length=has_length).removeprefix(b"--frame\r\n")

    assert parts(late) == IMAGES


def test_the_line_break_before_a_delimiter_may_be_missing() -> None:
    assert parts(b"--frame\r\nA: b\r\n\r\n" + IMAGES[0] + b"--frame\r\nA: b\r\n\r\n" + IMAGES[2] + b"--frame--") == [
        IMAGES[0],
        IMAGES[2],
    ]


def test_a_text_before_the_first_delimiter_is_skipped() -> None:
    assert parts(b"this stream has parts\r\n\r\n" + body(IMAGES)) == IMAGES


def test_a_length_that_is_too_small_costs_this_image_and_none_after_it() -> None:
    wrong = b"--frame\r\nContent-Length: 3\r\n\r\n" + IMAGES[0] + b"\r\n"

    assert parts(wrong + body(IMAGES[1:])) == [IMAGES[0][:3], *IMAGES[1:]]


def test_a_part_that_the_end_of_the_stream_cuts_off_is_not_yielded() -> None:
    whole = body(IMAGES[:1])

    assert parts(whole + b"--frame\r\nContent-Length: 90\r\n\r\n\xff\xd8") == IMAGES[:1]
    assert parts(whole + b"--frame\r\nA: b\r\n\r\n\xff\xd8 no delimiter") == IMAGES[:1]


def test_a_part_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(ValueError, match=str(MAX_PART_BYTES)):
        parts(b"--frame\r\nContent-Length: %d\r\n\r\n" % (MAX_PART_BYTES + 1))


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.booleans())
def test_any_bytes_pass_as_they_are(images: list[bytes], has_length: bool) -> None:
    images = [b"\xff\xd8" + image.replace(b"--", b"-.") + b"\xff\xd9" for image in images]

    assert parts(body(images, has_length=has_length)) == images


@given(st.binary(max_size=2000))
def test_hostile_bytes_end_without_an_error(stream: bytes) -> None:
    assert sum(map(len, parts(stream))) <= len(stream)
