"""Fills a database and an image store with stations, pictures, maps and verdicts as a line would leave them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image, ImageDraw, ImageFilter

from storage import dead_letters, normal_sets, parked, stations, thresholds, verdicts, workers
from storage.database import Database
from storage.dead_letters import DeadLetter
from storage.images import ImageStore
from storage.maps import encode_map
from storage.normal_sets import NormalImage, NormalSet
from storage.parked import ParkedFrame
from storage.stations import Station, StationSettings
from storage.thresholds import Threshold
from storage.verdicts import Verdict
from storage.workers import Worker, WorkerState

MODEL = "nearest-patch-3f9ac1d07b52"
WEIGHTS = "9d2c7a51e0b84f6f3a1d5c8e7f60b2a49d2c7a51e0b84f6f3a1d5c8e7f60b2a4"
Picture = Image.Image


@dataclass(frozen=True)
class Line:
    """A migrated database and an image store, with their addresses."""

    database_url: str
    images_url: str
    database: Database
    images: ImageStore

    @classmethod
    def new(cls, folder: Path, database_url: str | None = None) -> "Line":
        url = database_url or f"sqlite:///{folder / 'andon.db'}"
        folder.mkdir(parents=True, exist_ok=True)
        line = cls(url, str(folder / "images"), Database(url), ImageStore(str(folder / "images")))
        line.database.upgrade()
        return line

    def station(self, name: str, at: datetime, **settings: object) -> Station:
        with self.database.begin() as session:
            return stations.add(session, name, StationSettings(**settings), at)  # type: ignore[arg-type]

    def normals(self, station: Station, pictures: Sequence[Picture], at: datetime, note: str = "") -> NormalSet:
        """An active normal set with a threshold at 0.41."""
        kept = [NormalImage(self.images.put(jpeg(picture)), f"good-{n:02d}.jpg") for n, picture in enumerate(pictures)]
        with self.database.begin() as session:
            made = normal_sets.add(session, station.id, kept, note, at)
            active = normal_sets.activate(session, station.id, made.version, at)
            thresholds.record(
                session,
                Threshold(
                    station.id,
                    active.id,
                    MODEL,
                    0.41,
                    0.01,
                    f"With {len(kept)} good parts the highest of them sets the threshold; a false reject rate of 1 % "
                    "can only be promised from 99 good parts on.",
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
            workers.beat(session, Worker(name, state, message, "nearest-patch", lag, at - timedelta(hours=9), at))


def verdict(
    line: Line, station: Station, normal_set: NormalSet, number: int, at: datetime, score: float, **more: object
) -> Verdict:
    """A verdict made 240 ms after capture; flagged above 0.41; with a plain grey picture unless `more` says otherwise."""
    settled = Verdict(
        frame_id=UUID(int=(station.id << 64) + number),
        station_id=station.id,
        captured_at=at,
        published_at=at + timedelta(milliseconds=18),
        decided_at=at + timedelta(milliseconds=240),
        decision="flag" if score > 0.41 else "pass",
        score=score,
        threshold=0.41,
        components={"patch": score, "image": 0.8 * score, "text": 0.5 * score},
        normal_set_id=normal_set.id,
        detector="nearest-patch",
        model_id=MODEL,
        weights_sha256=WEIGHTS,
        image_reference=line.images.put(GREY) if "image_reference" not in more else "",
        content_type="image/jpeg",
        map_reference=None,
        part_id=None,
        truth=None,
        worker="scorer-1",
        topic="andon.frames",
        partition=station.id % 12,
        offset=number,
    )
    return replace(settled, **more)  # type: ignore[arg-type]


def jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


GREY = jpeg(Image.new("RGB", (160, 120), "#8a929a"))


@dataclass(frozen=True)
class Scene:
    """What a camera looks at: a part of one of scikit-image's photographs."""

    photograph: Picture
    size: tuple[int, int]
    tint: tuple[float, float, float] = (1, 1, 1)

    def frame(self, chance: np.random.Generator, lamp: float = 1.0) -> Picture:
        """A picture with the jitter, light and noise of a camera."""
        width, height = self.size
        left = int(chance.integers(0, max(1, self.photograph.width - width)))
        top = int(chance.integers(0, max(1, self.photograph.height - height)))
        cut = np.asarray(self.photograph.crop((left, top, left + width, top + height)).convert("RGB"), dtype=np.float64)
        light = lamp * chance.normal(1, 0.015) * np.array(self.tint)
        noisy = cut * light + chance.normal(0, 2.5, cut.shape)
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def damaged(picture: Picture, kind: str, chance: np.random.Generator) -> tuple[Picture, npt.NDArray[np.float32]]:
    """The picture with a scratch, stain or dent, and the map that a detector would draw of it."""
    width, height = picture.size
    x, y = chance.uniform(0.25, 0.75) * width, chance.uniform(0.25, 0.75) * height
    mark = Image.new("L", picture.size, 0)
    pen = ImageDraw.Draw(mark)
    if kind == "scratch":
        angle, length = chance.uniform(0, np.pi), 0.28 * width
        bend = [
            (x + t * length * np.cos(angle), y + t * length * np.sin(angle) + 6 * np.sin(5 * t))
            for t in np.linspace(-0.5, 0.5, 16)
        ]
        pen.line(bend, fill=235, width=4)
    elif kind == "stain":
        for _ in range(9):
            dx, dy, r = (
                chance.normal(0, 0.035 * width),
                chance.normal(0, 0.03 * width),
                chance.uniform(0.02, 0.05) * width,
            )
            pen.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), fill=170)
    else:
        r = 0.06 * width
        pen.ellipse((x - r, y - 0.7 * r, x + r, y + 0.7 * r), fill=210)
    soft = mark.filter(ImageFilter.GaussianBlur(1.2 if kind == "scratch" else 5))
    ink = {"scratch": "#f2efe9", "stain": "#33261a", "dent": "#15181c"}[kind]
    spoiled = Image.composite(Image.new("RGB", picture.size, ink), picture, soft)
    return spoiled, heat(mark, chance)


def heat(mark: Picture, chance: np.random.Generator) -> npt.NDArray[np.float32]:
    """A map of 60 columns: hot around the mark, restless elsewhere."""
    columns, rows = 60, 60 * mark.height // mark.width
    around = mark.filter(ImageFilter.GaussianBlur(14)).resize((columns, rows), Image.Resampling.BOX)
    hot = np.asarray(around, dtype=np.float64)
    ground = np.asarray(
        Image.fromarray((255 * chance.random((rows // 4, columns // 4))).astype(np.uint8)).resize(
            (columns, rows), Image.Resampling.BICUBIC
        ),
        dtype=np.float64,
    )
    return (0.08 + 0.07 * ground / 255 + 0.75 * hot / max(1.0, hot.max())).astype(np.float32)


def photograph(name: str) -> Picture:
    return Image.fromarray(getattr(skimage.data, name)())


@dataclass(frozen=True)
class Plan:
    """How a station of the believable day behaves; `every_s` apart, a share of `defects` damaged, silent since."""

    name: str
    object_name: str
    scene: Scene
    every_s: float = 6.0
    defects: float = 0.012
    drift: float = 0.0
    silent_s: float = 0.0
    normals: int = 8
    parked: int = 0


def plans() -> list[Plan]:
    return [
        Plan("brick-press", "facing brick", Scene(photograph("brick"), (400, 300)), defects=0.006),
        Plan("coin-tray", "coin", Scene(photograph("coins"), (320, 240), (1, 0.97, 0.9)), every_s=4, defects=0.02),
        Plan(
            "coating-2",
            "coated board",
            Scene(photograph("gravel"), (400, 300), (0.92, 1, 1.04)),
            drift=0.14,
            defects=0.01,
        ),
        Plan(
            "turf-cutter",
            "turf roll",
            Scene(photograph("grass"), (400, 300), (0.75, 1, 0.62)),
            silent_s=400,
            defects=0.004,
        ),
        Plan("cup-filler", "filled cup", Scene(photograph("coffee"), (480, 360)), every_s=9, defects=0.004, normals=16),
        Plan("wafer-scan", "wafer", Scene(photograph("moon"), (480, 360), (0.9, 0.95, 1.06)), parked=37, normals=0),
    ]


def believable_day(line: Line, now: datetime, hours: float = 24, pictures: int = 24) -> None:
    """Six stations over a day: healthy ones, a lamp that fades, a camera gone silent, one without normal set."""
    chance = np.random.default_rng(7)
    for plan in plans():
        station = line.station(plan.name, now - timedelta(days=30), object_name=plan.object_name)
        if plan.parked:
            park(line, station, plan, now, chance)
            continue
        goods = [plan.scene.frame(chance) for _ in range(plan.normals)]
        line.normals(station, goods[: max(2, plan.normals // 2)], now - timedelta(days=20), "first parts of the shift")
        normal_set = line.normals(station, goods, now - timedelta(days=3), "after the camera was cleaned")
        line.verdicts(*day_of(line, station, normal_set, plan, now, hours, pictures, chance))
    line.worker("scorer-1", now, lag=3)
    line.worker("scorer-2", now, lag=2)
    letters(line, now)


def day_of(
    line: Line,
    station: Station,
    normal_set: NormalSet,
    plan: Plan,
    now: datetime,
    hours: float,
    pictures: int,
    chance: np.random.Generator,
) -> list[Verdict]:
    good = [good_frame(line, plan, chance) for _ in range(pictures)]
    kinds = ["scratch", "stain", "dent"]
    bad = [(*bad_frame(line, plan, kind, chance), kind) for kind in kinds * (pictures // 3)]
    last = now - timedelta(seconds=plan.silent_s + chance.uniform(0.5, 3))
    number = int(hours * 3600 / plan.every_s)
    made = []
    for back in range(number, -1, -1):
        at = last - timedelta(seconds=back * plan.every_s + chance.uniform(0, 0.4))
        age = back / max(1, number)
        wave = 0.012 * np.sin(at.timestamp() / 2400)
        broken = chance.random() < plan.defects and back > 2
        score = chance.normal(0.62, 0.09) if broken else chance.gamma(14, 0.016) + wave
        score = float(np.clip(score + plan.drift * max(0.0, 0.35 - age) / 0.35, 0.02, 0.98))
        image, heat_map, kind = (
            bad[int(chance.integers(len(bad)))] if broken else (*good[int(chance.integers(len(good)))], "good")
        )
        took = timedelta(milliseconds=float(chance.gamma(9, 26)))
        made.append(
            verdict(
                line,
                station,
                normal_set,
                number - back,
                at,
                score,
                decided_at=at + timedelta(milliseconds=20) + took,
                image_reference=image,
                map_reference=heat_map,
                truth=kind,
                part_id=f"{plan.name[:2].upper()}-{48_000 + number - back}",
                worker=f"scorer-{1 + back % 2}",
            )
        )
    return made


def good_frame(line: Line, plan: Plan, chance: np.random.Generator) -> tuple[str, str]:
    picture = plan.scene.frame(chance)
    nothing = heat(Image.new("L", picture.size, 0), chance)
    return line.images.put(jpeg(picture)), line.images.put(encode_map(nothing))


def bad_frame(line: Line, plan: Plan, kind: str, chance: np.random.Generator) -> tuple[str, str]:
    picture, hot = damaged(plan.scene.frame(chance), kind, chance)
    return line.images.put(jpeg(picture)), line.images.put(encode_map(hot))


def park(line: Line, station: Station, plan: Plan, now: datetime, chance: np.random.Generator) -> None:
    image = line.images.put(jpeg(plan.scene.frame(chance)))
    waiting = [
        ParkedFrame(
            UUID(int=(station.id << 64) + n),
            station.id,
            at,
            at,
            at,
            image,
            "image/jpeg",
            None,
            None,
            "andon.frames",
            1,
            n,
        )
        for n in range(plan.parked)
        for at in [now - timedelta(seconds=4 * n)]
    ]
    with line.database.begin() as session:
        parked.park(session, waiting)


def letters(line: Line, now: datetime) -> None:
    told = [
        (
            "unknown-station",
            'No station is named "coin-tray-old"; add it with `andon station add coin-tray-old`.',
            "coin-tray-old",
            48_213,
            7,
        ),
        (
            "not-an-image",
            "The 2048 bytes are not an image that can be decoded: image file is truncated.",
            "brick-press",
            2_048,
            52,
        ),
        ("no-headers", "The message has no headers, so it can't be told which station it is of.", None, 112, 190),
        (
            "too-large",
            "The image is 40000 × 40000 pixels; the scorer takes at most 100000000.",
            "coating-2",
            1_913_442,
            900,
        ),
        ("newer-schema", 'The message is of schema "2"; this scorer reads up to "1".', "cup-filler", 65_002, 2200),
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
        for n, (reason, error, station, size, minutes) in enumerate(told)
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
    believable_day(Line.new(folder), datetime.now(UTC))
