"""A client of the topic can publish anything: each message is a verdict or a dead letter, fast, in little memory.

Ten thousand cases: five thousand of headers, five thousand of image bytes in four formats.
"""

import io
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from imaging.quality.picture_quality import PictureLimits, measure
from ingest import schema
from ingest.bus.protocol import Headers, Message, Record, RecordPosition
from ingest.frame import Frame, mint_frame_id
from scorer.backbones.filterbank import Filterbank
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.protocol import References
from scorer.images import RetriableImageStore
from scorer.imaging.framing import Framing
from scorer.recipes.recipe import Recipe
from scorer.settings import ScorerSettings
from scorer.worker.batch import BadPicture, LookedUp, Parsed, Rejected, Scorable, Unscorable
from scorer.worker.decode import Decoded, FrameDecoder
from scorer.worker.parse import parse
from storage.blobs.image_store import ImageStore
from storage.line.stations import Station, StationSettings
from storage.line.thresholds import Threshold
from testing.line import START, Line, encoded, part

pytestmark = pytest.mark.usefixtures("one_thread")

CASES_OF_A_KIND = 5000
LONGEST_S = 2.0
MOST_GROWTH_BYTES = 300 << 20
LIMITS = ScorerSettings(max_image_pixels=1_000_000, max_decoded_bytes=16 << 20)
KINDS = ("JPEG", "plain JPEG", "PNG", "TIFF", "WEBP")

FRAME = Frame("s1", START, encoded(part(1)), "image/png")
GOOD = schema.encode(FRAME, mint_frame_id(FRAME), START, None)
REFERRED = schema.refer(GOOD, "sha256:" + "0" * 64)

cases = settings(
    max_examples=CASES_OF_A_KIND,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def seed_images() -> dict[str, bytes]:
    """One small image in each format, with the features of its container: EXIF, a palette, tags, transparency."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, dict[str, object]] = {
        "JPEG": {"exif": exif, "progressive": True},
        "plain JPEG": {},
        "PNG": {"exif": exif},
        "TIFF": {"compression": "tiff_lzw"},
        "WEBP": {"exif": exif, "lossless": True},
    }
    encoded_message = {}
    for kind in KINDS:
        buffer = io.BytesIO()
        encoder = kind.removeprefix("plain ")
        Image.fromarray(pixels[:, :, : 3 if encoder == "JPEG" else 4]).save(buffer, encoder, **options[kind])
        encoded_message[kind] = buffer.getvalue()
    return encoded_message


SEEDS = seed_images()
edits = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
        st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("cut"), st.floats(0, 1), st.integers(1, 60)),
        st.tuples(st.just("repeat"), st.floats(0, 1), st.integers(1, 200)),
        st.tuples(
            st.just("huge"), st.floats(0, 1), st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
        ),
    ),
    min_size=1,
    max_size=8,
)


def mutate(data: bytes, changes: list[tuple[str, float, object]]) -> bytes:
    for operation, fraction, argument in changes:
        position = int(fraction * len(data))
        if operation in ("put", "huge"):
            assert isinstance(argument, bytes)
            data = data[:position] + argument + data[position + len(argument) :]
        elif operation == "insert":
            assert isinstance(argument, bytes)
            data = data[:position] + argument + data[position:]
        elif operation == "cut":
            assert isinstance(argument, int)
            data = data[:position] + data[position + argument :]
        else:
            assert isinstance(argument, int)
            data = data[:position] + data[position : position + argument] * 2 + data[position + argument :]
    return data


@contextmanager
def bounded_time_and_memory() -> Iterator[None]:
    """Limit CPU time, which other processes do not affect, and memory."""
    before_s, before_bytes = time.process_time(), peak_bytes()
    yield
    assert time.process_time() - before_s < LONGEST_S
    assert peak_bytes() - before_bytes < MOST_GROWTH_BYTES


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrameDecoder]:
    with ThreadPoolExecutor(1) as threads:
        store = ImageStore(str(tmp_path_factory.mktemp("hostile") / "images"))
        store.put(b"something")
        yield FrameDecoder(RetriableImageStore(store), LIMITS, threads, threads)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    detector = PatchDetector(NearestPatch(), Filterbank(torch.device("cpu")), Framing())
    references = References(detector.model_id, {}, ())  # nothing is scored here
    threshold = Threshold(1, 1, detector.model_id, 0.5, 0.01, "", START, "w1")
    limits = PictureLimits.from_normals([measure(part(number)) for number in range(2)])
    return Recipe(detector, detector.model_id, references, Framing(), threshold, limits)


def decoded(decoder: FrameDecoder, parsed: Parsed, recipe: Recipe | None = None) -> Decoded:
    station = Station(1, "s1", StationSettings(), START)
    (result,) = decoder.decode([LookedUp(parsed.frame, parsed.message, parsed.position, station, recipe)])
    return result


names = st.sampled_from([name for name, _ in REFERRED.headers]) | st.text(max_size=12)
odd_values = [
    *(b"", b"1", b"2", b"99999999999999999999", b"\xff", b"\0", b"A" * 10_000, "s1\u202egnp".encode()),
    *(b"../../etc/passwd", b"s1/../s2", b"file:///etc/passwd", b"s3://elsewhere/x"),
    *(b"sha256:" + b"0" * 64, b"sha256:../../../../etc/passwd"),
    *(b"-0001-01-01T00:00:00Z", b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59.999999999-14:00"),
]
values = st.binary(max_size=300) | st.sampled_from(odd_values)


@cases
@given(
    base=st.sampled_from([(), GOOD.headers, REFERRED.headers]),
    headers=st.lists(st.tuples(names, values), max_size=12),
    value=st.binary(max_size=40) | st.just(GOOD.value),
    key=st.none() | st.text(max_size=40),
)
def test_any_headers_give_a_frame_or_a_rejection(
    decoder: FrameDecoder, base: Headers, headers: list[tuple[str, bytes]], value: bytes, key: str | None
) -> None:
    record = Record(RecordPosition("t", 0, 0), key, value, (*base, *headers), START)
    with bounded_time_and_memory():
        parsed = parse(record, START)
        if isinstance(parsed, Rejected):
            assert parsed.error
        else:
            found = decoded(decoder, parsed)
            assert isinstance(found, Unscorable) or (isinstance(found, Rejected) and found.reason)


@cases
@given(kind=st.sampled_from(KINDS), changes=edits)
def test_any_image_bytes_give_a_framed_image_or_a_rejection(
    decoder: FrameDecoder, recipe: Recipe, kind: str, changes: list[tuple[str, float, object]]
) -> None:
    data = mutate(SEEDS[kind], changes)
    frame = Frame("s1", START, data or b"\0", "image/png")
    parsed = parse(record_of(schema.encode(frame, mint_frame_id(frame), START, None)), START)
    assert isinstance(parsed, Parsed)
    with bounded_time_and_memory():
        found = decoded(decoder, parsed, recipe)
    if isinstance(found, Scorable):
        assert found.framed.tiles.shape == (1, 256, 256, 3)
    elif not isinstance(found, BadPicture):
        assert isinstance(found, Rejected)
        assert found.reason
        assert found.error.endswith(".")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("../../../../etc/passwd", "image-missing"),
        ("/etc/passwd", "image-missing"),
        ("sha256:" + "../" * 12 + "etc/passwd", "image-missing"),
        ("file:///etc/passwd", "image-missing"),
        ("sha256:" + "A" * 64, "image-missing"),
        ("sha256:" + "0" * 10_000, "bad-header"),
    ],
)
def test_a_reference_outside_the_image_store_is_rejected(decoder: FrameDecoder, reference: str, reason: str) -> None:
    parsed = parse(record_of(schema.refer(GOOD, reference)), START)
    found = parsed if isinstance(parsed, Rejected) else decoded(decoder, parsed)
    assert isinstance(found, Rejected)
    assert found.reason == reason


def test_a_referenced_image_above_the_limit_is_rejected(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"))
    reference = store.put(os.urandom(2_000_000))
    with ThreadPoolExecutor(1) as threads:
        limited = FrameDecoder(RetriableImageStore(store), ScorerSettings(max_image_bytes=1_000_000), threads, threads)
        parsed = parse(record_of(schema.refer(GOOD, reference)), START)
        assert isinstance(parsed, Parsed)
        found = decoded(limited, parsed)
    assert isinstance(found, Rejected)
    assert found.reason == "too-many-bytes"


def test_a_worker_answers_every_hostile_message_and_the_good_ones_among_them(tmp_path: Path) -> None:
    line = Line(tmp_path, batch_frames=16, max_image_pixels=1_000_000)
    line.add_station("s1")
    line.add_normal_set("s1")
    draw = np.random.default_rng(5)
    messages, good = [], 0
    for number in range(200):
        kind = KINDS[number % len(KINDS)]
        if number % 4 == 0:
            image, good = encoded(part(number)), good + 1
        else:
            changed = bytearray(SEEDS[kind])
            for position in draw.integers(2, len(changed), 6):
                changed[position] = draw.integers(256)
            image = bytes(changed)
        frame = Frame("../../s1" if number % 10 == 3 else "s1", START, image, "image/png")
        encoded_message = schema.encode(frame, mint_frame_id(frame), START, None)
        if number % 10 == 7:
            encoded_message = replace(encoded_message, headers=encoded_message.headers[: number % 5])
        messages.append(encoded_message)
    line.publish_messages(messages)
    done = line.drain()
    assert done.frames == 200
    assert done.verdicts + done.dead_letters == 200
    assert done.verdicts >= good - 20
    assert len(line.dead_letters()) == done.dead_letters


def record_of(message: Message) -> Record:
    return Record(RecordPosition("t", 0, 0), message.key, message.value, message.headers, START)
