"""A simulated line: real photographs, believable defects, a lamp that fades and a camera that falls silent."""

import hashlib
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields
from urllib.parse import parse_qsl

import numpy as np

from foundation.clock import Clock, utc_now
from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.settings import IngestSettings
from ingest.sources.simulated.defects import Mask
from ingest.sources.simulated.imaging import photograph
from ingest.sources.simulated.scenes import SCENES, Scene

GOOD = "good"
DIMMEST = 0.35


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What ``simulated:NAME?key=value&…`` may say; frames are counted from 0."""

    seed: int = 0
    defect_rate: float = 0.1
    lamp_fades_after: int | None = None
    lamp_fades_over: int = 200
    silent_from: int | None = None
    silent_for_s: float = 20.0


OPTION_NAMES = tuple(field.name for field in fields(SimulationOptions))
FRACTIONS = ("defect_rate", "silent_for_s")


@dataclass(frozen=True, slots=True)
class SimulatedImage:
    """One picture of a simulated line: `truth` is ``good`` or the defect's name, `mask` where the defect is."""

    image: bytes
    truth: str
    mask: Mask


class SimulatedLine:
    """An endless line of parts of one kind; shot k of a (name, options) is always the same picture."""

    def __init__(
        self,
        name: str,
        station: str,
        options: SimulationOptions,
        *,
        now: Clock = utc_now,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._name = name
        self._scene = scene(name)
        self._station = station
        self._options = options
        self._now = now
        self._wait = wait

    @property
    def object_name(self) -> str:
        """What the parts are, such as ``coin tray``."""
        return self._scene.object_name

    def shot(self, number: int) -> SimulatedImage:
        """Take picture `number` of the line."""
        rng = _dice(self._name, "line", self._options.seed, number)
        defective = rng.uniform() < self._options.defect_rate
        defect = str(rng.choice(self._scene.defects)) if defective else None
        picture, mask = self._scene.draw(rng, defect)
        return SimulatedImage(photograph(picture, rng, self.lamp(number)), defect or GOOD, mask)

    def lamp(self, number: int) -> float:
        """The lamp's brightness for picture `number`: 1, and falling to 0.35 once it fades."""
        after = self._options.lamp_fades_after
        if after is None or number <= after:
            return 1.0
        return 1 - (1 - DIMMEST) * min(1.0, (number - after) / self._options.lamp_fades_over)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield pictures until `stop`, with the silence that was asked for."""
        number = 0
        while not stop.is_set():
            if number == self._options.silent_from and self._wait(stop, self._options.silent_for_s):
                return
            shot = self.shot(number)
            yield Frame(
                station=self._station,
                captured_at=self._now(),
                image=shot.image,
                content_type="image/jpeg",
                part_id=f"{self._name}-{self._options.seed}-{number:06d}",
                truth=shot.truth,
            )
            number += 1

    def confirm(self, frame: Frame) -> None:
        """A simulated line remembers nothing: it begins anew each time."""

    def close(self) -> None:
        """Nothing is held open."""


def normals(name: str, count: int, seed: int = 0) -> Sequence[bytes]:
    """Return `count` JPEGs of good parts for a normal set; never the same pictures as the line's own."""
    draw = scene(name).draw
    pictures = []
    for number in range(count):
        rng = _dice(name, "normals", seed, number)
        pictures.append(photograph(draw(rng, None)[0], rng))
    return pictures


def scene(name: str) -> Scene:
    """The kind of part behind a name. Raises `SourceError` for a name there is not."""
    if name not in SCENES:
        raise SourceError(f"There is no simulated line {name!r}; there are {', '.join(SCENES)}.")
    return SCENES[name]


def _dice(name: str, purpose: str, seed: int, number: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{name}\0{purpose}\0{seed}\0{number}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))


def line_options(text: str) -> SimulationOptions:
    """Read ``key=value&…``. Raises `SourceError` for an unknown key or a value that makes no sense."""
    values: dict[str, int | float] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key not in OPTION_NAMES:
            raise SourceError(f"A simulated line has no option {key!r}; it has {', '.join(OPTION_NAMES)}.")
        values[key] = _number(key, value)
    options = SimulationOptions(**values)  # type: ignore[arg-type]
    if not 0 <= options.defect_rate <= 1:
        raise SourceError(f"A defect rate lies between 0 and 1, not at {options.defect_rate}.")
    if options.lamp_fades_over < 1 or not 0 <= options.silent_for_s < float("inf"):
        raise SourceError("A lamp fades over at least 1 frame, and a silence lasts 0 seconds or more.")
    return options


def _number(key: str, value: str) -> int | float:
    """A fraction for what is one, else a whole number; 50.0 is whole."""
    try:
        number = float(value)
    except ValueError as error:
        raise SourceError(f"The simulated line's option {key}={value} is no number.") from error
    if key in FRACTIONS:
        return number
    if not number.is_integer():
        raise SourceError(f"The simulated line's option {key}={value} is no whole number.")
    return int(number)


def open_simulated(place: str, station: str, settings: IngestSettings) -> SimulatedLine:
    """Open ``simulated:NAME?options``; it needs no settings."""
    del settings
    name, _, options = place.partition("?")
    return SimulatedLine(name, station, line_options(options))
