"""Fills a database and an image store with stations, images, maps and verdicts as a line would store them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image, ImageFilter

from ingest.sources.simulated import SCENES, SimulatedLine, SimulationOptions, normals
from storage.alerts import alert_watch
from storage.blobs.anomaly_maps import encode_map
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.line import dead_letters, normal_sets, parked_frames, stations, thresholds, verdicts, workers
from storage.line.dead_letters import DeadLetter
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station, StationSettings
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.line.workers import WorkerState, WorkerStatus
from testing.migrated_database import create_sqlite

MODEL = "nearest-patch-3f9ac1d07b52"
WEIGHTS = "9d2c7a51e0b84f6f3a1d5c8e7f60b2a49d2c7a51e0b84f6f3a1d5c8e7f60b2a4"
Picture = Image.Image


@dataclass(frozen=True)
class SeededStorage:
    """A migrated database and an image store, with their addresses."""

    database_url: str
    images_url: str
    database: Database
    images: ImageStore

    @classmethod
    def new(cls, folder: Path, database_url: str | None = None) -> "SeededStorage":
        url = database_url or create_sqlite(folder / "andon.db")
        folder.mkdir(parents=True, exist_ok=True)
        line = cls(url, str(folder / "images"), Database(url), ImageStore(str(folder / "images")))
        line.database.upgrade()
        return line

    def station(self, name: str, at: datetime, **settings: object) -> Station:
        with self.database.begin() as session:
            return stations.add(session, name, StationSettings(**{"sample_one_in": 0} | settings), at)  # type: ignore[arg-type]

    def normals(self, station: Station, pictures: Sequence[Picture], at: datetime, note: str = "") -> NormalSet:
        """An active normal set with a threshold at 0.41."""
        images = [
            NormalImage(self.images.put(jpeg(picture)), f"good-{n:02d}.jpg") for n, picture in enumerate(pictures)
        ]
        with self.database.begin() as session:
            made = normal_sets.add(session, station.id, images, note, at)
            active = normal_sets.activate(session, station.id, made.version, at)
            thresholds.record(
                session,
                Threshold(
                    station.id,
                    active.id,
                    MODEL,
                    0.41,
                    0.01,
                    f"{len(images)} normals guarantee a false-reject rate of at most {100 / (len(images) + 1):.3g} %; "
                    "1 % is an estimate that assumes log-normally distributed scores. A guarantee of 1 % needs "
                    "99 normals.",
                    at,
                    "scorer-1",
                ),
            )
        return active

    def verdicts(self, *made: Verdict) -> None:
        with self.database.begin() as session:
            verdicts.record(session, made)

    def worker(self, name: str, at: datetime, state: WorkerState = "running", message: str = "", lag: int = 0) -> None:
        with self.database.begin() as session:
            workers.heartbeat(
                session, WorkerStatus(name, state, message, "nearest-patch", lag, at - timedelta(hours=9), at)
            )
            alert_watch.hold(session, name, at)


def bare(at: datetime, score: float | None) -> Verdict:
    """A verdict made 240 ms after capture, flagged above 0.41, that belongs to no database."""
    return Verdict(
        frame_id=UUID(int=1),
        station_id=1,
        captured_at=at,
        published_at=at + timedelta(milliseconds=18),
        decided_at=at + timedelta(milliseconds=240),
        decision="flag" if (score or 0) > 0.41 else "pass",
        score=score,
        threshold=0.41,
        components={} if score is None else {"patch": score, "image": 0.8 * score, "text": 0.5 * score},
        normal_set_id=1,
        detector="nearest-patch",
        model_id=MODEL,
        weights_sha256=WEIGHTS,
        image_reference="",
        content_type="image/jpeg",
        map_reference=None,
        part_id=None,
        truth=None,
        worker="scorer-1",
        topic="andon.frames",
        partition=0,
        offset=0,
    )


def bad_picture(line: SeededStorage, station: Station, number: int, at: datetime, problem: str) -> Verdict:
    """A verdict on a dark frame without score, which was measured against no normal set."""
    dark = Image.fromarray(np.full((120, 160, 3), 9, np.uint8))
    return replace(
        bare(at, None),
        frame_id=UUID(int=station.id << 64 | number),
        station_id=station.id,
        decision="bad_picture",
        threshold=None,
        components={},
        normal_set_id=None,
        detector=None,
        model_id=None,
        weights_sha256=None,
        image_reference=line.images.put(jpeg(dark)),
        map_reference=None,
        picture_problem=problem,
    )


def verdict(
    line: SeededStorage,
    station: Station,
    normal_set: NormalSet,
    number: int,
    at: datetime,
    score: float | None,
    **more: object,
) -> Verdict:
    """The station's verdict number `number` with a plain grey image; `more` overrides its fields."""
    fields = {
        "frame_id": UUID(int=(station.id << 64) + number),
        "station_id": station.id,
        "normal_set_id": normal_set.id,
        "partition": station.id % 12,
        "offset": number,
    }
    if "image_reference" not in more:
        fields["image_reference"] = line.images.put(GREY)
    return replace(bare(at, score), **(fields | more))  # type: ignore[arg-type]


def jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


GREY = jpeg(Image.new("RGB", (160, 120), "#8a929a"))


@dataclass(frozen=True)
class Scene:
    """The surface in front of a camera: a part of one of scikit-image's photographs."""

    photograph: Picture
    size: tuple[int, int]
    tint: tuple[float, float, float] = (1, 1, 1)

    def frame(self, chance: np.random.Generator, lamp: float = 1.0) -> Picture:
        """Return an image with the jitter, light and noise of a camera."""
        width, height = self.size
        left = int(chance.integers(0, max(1, self.photograph.width - width)))
        top = int(chance.integers(0, max(1, self.photograph.height - height)))
        cut = np.asarray(self.photograph.crop((left, top, left + width, top + height)).convert("RGB"), dtype=np.float64)
        light = lamp * chance.normal(1, 0.015) * np.array(self.tint)
        noisy = cut * light + chance.normal(0, 2.5, cut.shape)
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def heat(mark: Picture, chance: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a map of 60 columns: hot around the mark, noisy elsewhere."""
    columns, rows = 60, 60 * mark.height // mark.width
    around = mark.filter(ImageFilter.GaussianBlur(14)).resize((columns, rows), Image.Resampling.BOX)
    hot = np.asarray(around, dtype=np.float64)
    ground = np.asarray(
        Image.fromarray((255 * chance.random((rows // 4, columns // 4))).astype(np.uint8)).resize(
            (columns, rows), Image.Resampling.BICUBIC
        ),
        dtype=np.float64,
    )
    values: npt.NDArray[np.float32] = (0.08 + 0.07 * ground / 255 + 0.75 * hot / max(1.0, hot.max())).astype(np.float32)
    return values


def photograph(name: str) -> Picture:
    return Image.fromarray(getattr(skimage.data, name)())


@dataclass(frozen=True)
class Plan:
    """A station of the realistic day: one frame per `every_s`, the share `defects`, and a silent end."""

    name: str
    simulated: str  # the simulated line that draws its parts; grass where empty
    every_s: float = 6.0
    defects: float = 0.012
    drift: float = 0.0
    silent_s: float = 0.0
    normals: int = 8
    parked: int = 0


PLANS = [
    Plan("brick-press", "brick", defects=0.006),
    Plan("coating-2", "gravel", drift=0.14, defects=0.01),
    Plan("coin-tray", "coins", every_s=4, defects=0.02),
    Plan("cup-filler", "coffee", every_s=9, defects=0.004, normals=16),
    Plan("turf-cutter", "", silent_s=400, defects=0.0),
    Plan("wafer-scan", "", parked=37, normals=0),
]


@dataclass(frozen=True)
class Pool:
    """Stored images with their maps: (image reference, map reference, truth)."""

    good: list[tuple[str, str, str]]
    bad: list[tuple[str, str, str]]


def pool(line: SeededStorage, plan: Plan, number: int, chance: np.random.Generator) -> Pool:
    """Return `number` good parts and, of a simulated line, half as many defective ones."""
    drawn = Pool([], [])
    if not plan.simulated:
        grass = Scene(photograph("grass"), (400, 300), (0.75, 1, 0.62))
        for _ in range(number):
            picture = grass.frame(chance)
            drawn.good.append(stored(line, jpeg(picture), Image.new("L", picture.size, 0), "good", chance))
        return drawn
    simulated = SimulatedLine(plan.simulated, plan.name, SimulationOptions(defect_rate=0.4))
    for n in range(6 * number):
        shot = simulated.image(n)
        images, limit = (drawn.good, number) if shot.truth == "good" else (drawn.bad, number // 2)
        if len(images) < limit:
            mask = Image.fromarray((255 * np.asarray(shot.mask, dtype=np.float64)).clip(0, 255).astype(np.uint8))
            images.append(stored(line, shot.image, mask, shot.truth.replace("_", " "), chance))
    return drawn


def stored(
    line: SeededStorage, image: bytes, mask: Picture, truth: str, chance: np.random.Generator
) -> tuple[str, str, str]:
    return line.images.put(image), line.images.put(encode_map(heat(mask, chance))), truth


def seed_day(line: SeededStorage, now: datetime, hours: float = 24, pictures: int = 24) -> None:
    """Six stations over a day: healthy ones, one that drifts, a camera gone silent, one without normal set."""
    chance = np.random.default_rng(7)
    for plan in PLANS:
        station = line.station(plan.name, now - timedelta(days=30), object_name=object_of(plan), sample_one_in=200)
        if plan.parked:
            park(line, station, plan.parked, now)
            continue
        goods = good_parts(plan, chance)
        line.normals(station, goods[: max(2, plan.normals // 2)], now - timedelta(days=20), "first parts of the shift")
        normal_set = line.normals(station, goods, now - timedelta(days=3), "after the camera was cleaned")
        line.verdicts(*day_of(line, station, normal_set, plan, now, hours, pool(line, plan, pictures, chance), chance))
    line.worker("scorer-1", now, lag=3)
    line.worker("scorer-2", now, lag=2)
    letters(line, now)


def object_of(plan: Plan) -> str:
    return SCENES[plan.simulated].object_name if plan.simulated else plan.name.split("-")[0]


def good_parts(plan: Plan, chance: np.random.Generator) -> list[Picture]:
    if plan.simulated:
        return [Image.open(io.BytesIO(data)) for data in normals(plan.simulated, plan.normals)]
    grass = Scene(photograph("grass"), (400, 300), (0.75, 1, 0.62))
    return [grass.frame(chance) for _ in range(plan.normals)]


def day_of(
    line: SeededStorage,
    station: Station,
    normal_set: NormalSet,
    plan: Plan,
    now: datetime,
    hours: float,
    drawn: Pool,
    chance: np.random.Generator,
) -> list[Verdict]:
    last = now - timedelta(seconds=plan.silent_s + chance.uniform(0.5, 3))
    number = int(hours * 3600 / plan.every_s)
    made = []
    for back in range(number, -1, -1):
        at = last - timedelta(seconds=back * plan.every_s + chance.uniform(0, 0.4))
        broken = chance.random() < plan.defects and back > 2
        score = chance.normal(0.62, 0.09) if broken else chance.gamma(14, 0.016) + 0.012 * np.sin(at.timestamp() / 2400)
        score += plan.drift * max(0.0, 0.35 - back / max(1, number)) / 0.35
        shown = drawn.bad if broken else drawn.good
        image, heat_map, truth = shown[int(chance.integers(len(shown)))]
        took = timedelta(milliseconds=20 + float(chance.gamma(9, 26)))
        made.append(
            verdict(
                line,
                station,
                normal_set,
                number - back,
                at,
                float(np.clip(score, 0.02, 0.98)),
                decided_at=at + took,
                image_reference=image,
                map_reference=heat_map,
                truth=truth,
                part_id=f"{plan.name[:2].upper()}-{48_000 + number - back}",
                worker=f"scorer-{1 + back % 2}",
            )
        )
    return made


def park(line: SeededStorage, station: Station, number: int, now: datetime, images: Sequence[bytes] = (GREY,)) -> None:
    """Add frames that are parked until the station's first normal set; they show the images in turn."""
    references = [line.images.put(image) for image in images]
    waiting = [
        ParkedFrame(
            UUID(int=(station.id << 64) + n),
            station.id,
            at,
            at,
            at,
            references[n % len(references)],
            "image/jpeg",
            None,
            None,
            "andon.frames",
            1,
            n,
        )
        for n in range(number)
        for at in [now - timedelta(seconds=4 * n)]
    ]
    with line.database.begin() as session:
        parked_frames.park(session, waiting)


def letters(line: SeededStorage, now: datetime) -> None:
    rejections = [
        (
            "unknown-station",
            'No station is named "coin-tray-old"; add it with `andon station add coin-tray-old`.',
            "coin-tray-old",
            48_213,
            7,
        ),
        (
            "corrupt-image",
            "The image/jpeg image can't be decoded: image file is truncated.",
            "brick-press",
            2_048,
            52,
        ),
        (
            "no-headers",
            "the message has no andon-schema header, so this project did not publish it",
            None,
            112,
            190,
        ),
        (
            "too-many-pixels",
            "The image is 40000 × 40000 pixels and max_image_pixels is 100000000; send less or raise it.",
            "coating-2",
            1_913_442,
            900,
        ),
        (
            "newer-schema",
            "the message has schema 2 and this reader knows up to 1; upgrade the scorers",
            "cup-filler",
            65_002,
            2200,
        ),
    ]
    made = [
        DeadLetter(
            id=None,
            topic="andon.frames",
            partition=n % 4,
            offset=88_120 + 31 * n,
            reason=reason,
            error=error,
            station=station,
            key=station,
            headers=(("andon-schema", b"1"), ("station", (station or "").encode())) if station else (),
            payload_reference=line.images.put(f"payload {n}".encode()),
            payload_bytes=size,
            occurred_at=now - timedelta(minutes=minutes),
            replayed_at=None,
        )
        for n, (reason, error, station, size, minutes) in enumerate(rejections)
    ]
    with line.database.begin() as session:
        dead_letters.record(session, made)
        last = dead_letters.recent(session)[-1]
        assert last.id is not None
        dead_letters.mark_replayed(session, last.id, now - timedelta(minutes=5))


if __name__ == "__main__":
    import sys

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    seed_day(SeededStorage.new(folder), datetime.now(UTC))
