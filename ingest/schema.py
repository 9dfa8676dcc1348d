"""The message schema, version 1: how a frame is published.

Key: the station's name. Value: the image as the camera encoded it, empty when the image is published as a reference.
Headers, all UTF-8: `andon-schema`, `frame-id`, `station`, `captured-at`, `published-at` (RFC 3339, 1970 to 8999), and
optionally `content-type`, `part-id`, `truth`, `image-reference`, and `picture-problem`, with which a source marks an
image that does not show the part properly. Unknown headers are ignored; the last of a repeated one counts. A content
type, part id or truth that is too long or can't be stored is repaired (`ingest.metadata`) when it
is written and when it is read.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from ingest.bus.protocol import Message, Record
from ingest.errors import BadFrame
from ingest.frame import Frame, PublishedFrame
from ingest.metadata import fit, fit_bytes

SCHEMA_VERSION = 1

MAX_CHARACTERS = {"station": 255, "content-type": 40, "part-id": 255, "truth": 120, "image-reference": 255}
REPAIRABLE = ("content-type", "part-id", "truth")
UNKNOWN_CONTENT_TYPE = "application/octet-stream"  # the scorer recognises the image by its bytes

EARLIEST, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Times lie in [EARLIEST, END): beyond, as in the years 1 and 9999 that some platforms send for "no time", a conversion
to local time or the end of a time bucket may not exist."""
_VERSION = re.compile(r"[0-9]{1,9}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def encode(frame: Frame, frame_id: UUID, published_at: datetime, image_reference: str | None) -> Message:
    """Return a frame as a message; with an image reference the message has no image.

    A frame is never refused for its texts: `repaired_names` tells which of them are shortened or escaped. One that
    can't be decoded becomes a dead letter, where a person sees it.

    Raises:
        ValueError: A time has no time zone.
    """
    texts = {
        "andon-schema": str(SCHEMA_VERSION),
        "frame-id": str(frame_id),
        "station": frame.station,
        "captured-at": _write_time(frame.captured_at),
        "published-at": _write_time(published_at),
        **{name: fit(text, MAX_CHARACTERS[name]) for name, text in _repairable(frame)},
        "image-reference": image_reference,
        "picture-problem": frame.picture_problem,
    }
    headers = tuple((name, _utf8(text)) for name, text in texts.items() if text is not None)
    return Message(_utf8(frame.station).decode(), b"" if image_reference is not None else frame.image, headers)


def repaired_names(frame: Frame) -> tuple[str, ...]:
    """Return the headers whose text `encode` shortens or escapes, because it is too long or can't be stored."""
    return tuple(name for name, text in _repairable(frame) if fit(text, MAX_CHARACTERS[name]) != text)


def refer(message: Message, image_reference: str) -> Message:
    """Return the same message with a reference to its image in place of the image."""
    headers = (*message.headers, ("image-reference", image_reference.encode()))
    return Message(message.key, b"", headers)


def decode(record: Record) -> PublishedFrame:
    """Return the frame of a record.

    Raises:
        BadFrame: And nothing else, with the reason ``no-headers`` (not this project's message), ``newer-schema``,
            ``bad-header`` (missing or invalid), ``impossible-time`` (a year before 1970 or after 8999) or ``no-image``
            (neither bytes nor a reference).
    """
    headers = dict(record.headers)
    _check_version(headers)
    image_reference = _optional_text(headers, "image-reference")
    if image_reference is None and not record.value:
        raise BadFrame("no-image", "the message carries neither image bytes nor an image-reference header")
    if image_reference is not None and record.value:
        raise BadFrame(
            "bad-header", "the message carries image bytes and an image-reference header; only one may be set"
        )
    metadata = {name: fit_bytes(headers[name], MAX_CHARACTERS[name]) for name in REPAIRABLE if name in headers}
    return PublishedFrame(
        frame_id=_frame_id(headers),
        station=_text(headers, "station"),
        captured_at=_time(headers, "captured-at"),
        published_at=_time(headers, "published-at"),
        content_type=metadata.get("content-type") or UNKNOWN_CONTENT_TYPE,
        image=record.value if image_reference is None else None,
        image_reference=image_reference,
        part_id=metadata.get("part-id"),
        truth=metadata.get("truth"),
        repaired=tuple(name for name, text in metadata.items() if text.encode() != headers[name]),
        picture_problem=_picture_problem(headers),
    )


def _repairable(frame: Frame) -> list[tuple[str, str]]:
    texts = zip(REPAIRABLE, (frame.content_type, frame.part_id, frame.truth), strict=True)
    return [(name, text) for name, text in texts if text is not None]


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _check_version(headers: Mapping[str, bytes]) -> None:
    if "andon-schema" not in headers:
        raise BadFrame("no-headers", "the message has no andon-schema header, so this project did not publish it")
    text = _text(headers, "andon-schema")
    if not _VERSION.fullmatch(text) or int(text) < 1:
        raise BadFrame("bad-header", f"header andon-schema is {text[:40]!r}, which is not a schema version")
    if int(text) > SCHEMA_VERSION:
        raise BadFrame(
            "newer-schema",
            f"the message has schema {int(text)} and this reader knows up to {SCHEMA_VERSION}; upgrade the scorers",
        )


def _optional_text(headers: Mapping[str, bytes], name: str) -> str | None:
    raw = headers.get(name)
    if raw is None:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadFrame("bad-header", f"header {name} is not UTF-8: {raw[:40]!r}") from None
    limit = MAX_CHARACTERS.get(name, 255)
    if len(text) > limit:
        raise BadFrame("bad-header", f"header {name} has {len(text)} characters, and the limit is {limit}")
    if "\0" in text:
        raise BadFrame("bad-header", f"header {name} has a NUL character")
    return text


def _picture_problem(headers: Mapping[str, bytes]) -> str | None:
    """Return the source's code, shortened to 40 characters; a mark that can't be read is still a mark."""
    raw = headers.get("picture-problem")
    return None if raw is None else raw.decode("utf-8", "replace")[:40] or "reported"


def _text(headers: Mapping[str, bytes], name: str) -> str:
    text = _optional_text(headers, name)
    if not text:
        raise BadFrame("bad-header", f"header {name} is {'missing' if text is None else 'empty'}")
    return text


def _frame_id(headers: Mapping[str, bytes]) -> UUID:
    text = _text(headers, "frame-id")
    if not _UUID.fullmatch(text):
        raise BadFrame("bad-header", f"header frame-id is {text[:40]!r}, which is not a UUID")
    return UUID(text)


def _write_time(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"naive time {at.isoformat()}: frames have times with a time zone")
    try:
        at = at.astimezone(UTC)
    except OverflowError:  # at the end of the years that exist: the reader refuses it, with a dead letter
        return at.isoformat(timespec="microseconds")
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(headers: Mapping[str, bytes], name: str) -> datetime:
    text = _text(headers, name)
    if text[17:19] == "60":  # a leap second, which has no time of its own here
        text = f"{text[:17]}59{text[19:]}"
    if not _RFC_3339.fullmatch(text):
        raise BadFrame("bad-header", f"header {name} is {text[:40]!r}, which is not an RFC 3339 time")
    try:
        at = datetime.fromisoformat(text.upper())
    except ValueError:
        raise BadFrame("bad-header", f"header {name} is {text[:40]!r}, a time that does not exist") from None
    if not EARLIEST <= at < END:
        raise BadFrame(
            "impossible-time",
            f"header {name} is {text[:40]!r}, outside the years 1970 to 8999; set the clock of the sender, or publish "
            "the image again with the time at which it was captured",
        )
    return at.astimezone(UTC)
