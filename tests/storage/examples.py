"""Stations, verdicts and other records to store, with defaults for what a test does not mention."""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from storage.line import normal_sets, stations
from storage.line.dead_letters import DeadLetter
from storage.line.decision import SCORED, Decision
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station, StationSettings
from storage.line.verdicts import Verdict

NOON = datetime(2026, 3, 14, 12, 0, 0, 250_001, tzinfo=UTC)
IMAGE = f"sha256:{'a' * 64}"
_numbers = count(1)


def add_station(session: Session, name: str | None = None) -> Station:
    return stations.add(session, name or f"station-{next(_numbers)}", StationSettings(sample_one_in=0), NOON)


def good_images(first: int = 0, how_many: int = 2) -> list[NormalImage]:
    return [NormalImage(f"sha256:{number:064x}", f"good-{number}.png") for number in range(first, first + how_many)]


def add_active_set(session: Session, station: Station) -> NormalSet:
    draft = normal_sets.add(session, station.id, good_images(), "", NOON)
    return normal_sets.activate(session, station.id, draft.version, NOON)


def make_verdict(
    normal_set: NormalSet,
    *,
    at: datetime = NOON,
    decision: Decision = "pass",
    score: float = 0.25,
    frame_id: UUID | None = None,
    threshold: float = 0.5,
    review_limit: float | None = None,
) -> Verdict:
    unscored, bad = decision not in SCORED, decision == "bad_picture"
    return Verdict(
        frame_id=frame_id or uuid4(),
        station_id=normal_set.station_id,
        captured_at=at,
        published_at=at,
        decided_at=at,
        decision=decision,
        score=None if unscored else score,
        threshold=None if unscored else threshold,
        components={} if unscored else {"patch": score},
        normal_set_id=None if decision == "no_reference" else normal_set.id,
        detector=None if unscored else "nearest-patch",
        model_id=None if unscored else "0c5f",
        weights_sha256=None if unscored else "b" * 64,
        image_reference=IMAGE,
        content_type="image/png",
        map_reference=None,
        part_id="part 7",
        truth="scratch",
        worker="worker-1",
        topic="andon.frames",
        partition=3,
        offset=2**40,
        picture_problem="blurred" if bad else None,
        review_limit=None if unscored else review_limit,
    )


def make_parked_frame(station: Station, frame_id: UUID | None = None) -> ParkedFrame:
    return ParkedFrame(
        frame_id=frame_id or uuid4(),
        station_id=station.id,
        captured_at=NOON,
        published_at=NOON,
        parked_at=NOON,
        image_reference=IMAGE,
        content_type="image/png",
        part_id=None,
        truth=None,
        topic="andon.frames",
        partition=0,
        offset=7,
    )


def make_dead_letter(
    *, offset: int = 7, payload: str = IMAGE, error: str = "no headers", at: datetime = NOON
) -> DeadLetter:
    return DeadLetter(
        id=None,
        topic="andon.frames",
        partition=0,
        offset=offset,
        reason="no-headers",
        error=error,
        station=None,
        key=None,
        headers=(("station", b"\xff\x00"), ("station", b"s1")),
        payload_reference=payload,
        payload_bytes=12,
        occurred_at=at,
        replayed_at=None,
    )


def is_one_sentence(error: BaseException) -> bool:
    """Return whether the message is one sentence for a person."""
    message = str(error)
    return message[0].isupper() and message.endswith(".") and "\n" not in message
