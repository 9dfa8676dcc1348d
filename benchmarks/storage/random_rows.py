"""Rows of a seeded database: random verdicts, dead letters and parked frames."""

import random
from datetime import datetime, timedelta
from uuid import UUID

from storage.line.dead_letters import DeadLetter
from storage.line.decision import decide
from storage.line.parked_frames import ParkedFrame
from storage.line.verdicts import Verdict

THRESHOLD = 0.55
MODEL = "5f0c"


def random_verdict(generator: random.Random, at: datetime, station_id: int) -> Verdict:
    """Return a random verdict; one in forty is flagged, one in two thousand has no reference."""
    has_no_reference = generator.random() < 0.0005
    score = generator.betavariate(6, 14) if generator.random() > 0.02 else 0.5 + generator.random() / 2
    digest = f"{generator.getrandbits(256):064x}"
    return Verdict(
        frame_id=UUID(int=generator.getrandbits(128)),
        station_id=station_id,
        captured_at=at,
        published_at=at + timedelta(milliseconds=20),
        decided_at=at + timedelta(milliseconds=180),
        decision="no_reference" if has_no_reference else decide(score, THRESHOLD),
        score=None if has_no_reference else score,
        threshold=None if has_no_reference else THRESHOLD,
        components={} if has_no_reference else {"patch": score, "image": score / 2},
        normal_set_id=None if has_no_reference else station_id,
        detector=None if has_no_reference else "nearest-patch",
        model_id=None if has_no_reference else MODEL,
        weights_sha256=None,
        image_reference=f"sha256:{digest}",
        content_type="image/jpeg",
        map_reference=None if has_no_reference else f"sha256:{digest[::-1]}",
        part_id=f"P-{digest[:12]}",
        truth=None,
        worker="bench",
        topic="andon.frames",
        partition=station_id % 12,
        offset=generator.getrandbits(40),
    )


def make_dead_letter(number: int, at: datetime) -> DeadLetter:
    """Return the dead letter of a truncated image."""
    return DeadLetter(
        id=None,
        topic="andon.frames",
        partition=0,
        offset=number,
        reason="decode",
        error="The image ends half-way.",
        station="s1",
        key=None,
        headers=(),
        payload_reference=reference(number),
        payload_bytes=120_000,
        occurred_at=at,
        replayed_at=None,
    )


def make_parked_frame(station_id: int, number: int, now: datetime) -> ParkedFrame:
    """Return a frame that waits for its station's normal set."""
    return ParkedFrame(
        frame_id=UUID(int=(station_id << 64) + number),
        station_id=station_id,
        captured_at=now,
        published_at=now,
        parked_at=now,
        image_reference=reference(number),
        content_type="image/jpeg",
        part_id=None,
        truth=None,
        topic="andon.frames",
        partition=0,
        offset=number,
    )


def reference(number: int) -> str:
    """Return a reference to an image that the store does not have, with a distinct prefix as a hash has."""
    return f"sha256:{number:016x}{number:048x}"
