"""A simulated line: real photographs, realistic defects, a lamp that fades and a camera that stops."""

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
    """The options of ``simulated:NAME?key=value&…``; frames are counted from 0."""

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
    """One image of a simulated line: `truth` is ``good`` or the defect's name, `mask` (height, width) is the defect."""

    image: bytes
    truth: str
    mask: Mask


class SimulatedLine:
    """An endless line of parts of one kind; image k of a (name, options) is always the same."""

    def __init__(
        self,
        name: str,
        station: str,
        options: SimulationOptions,
        *,
        now: Clock = utc_now,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """Raise `SourceError` for a name that no simulated line has."""
        self._name = name
        self._scene = scene(name)
        self._station = station
        self._options = options
        self._now = now
        self._wait = wait

    @property
    def object_name(self) -> str:
        """Return the kind of parts, such as ``coin tray``."""
        return self._scene.object_name

    def image(self, number: int) -> SimulatedImage:
        """Return image `number` of the line."""
        rng = _generator(self._name, "line", self._options.seed, number)
        defective = rng.uniform() < self._options.defect_rate
        defect = str(rng.choice(self._scene.defects)) if defective else None
        image, mask = self._scene.draw(rng, defect)
        return SimulatedImage(photograph(image, rng, self.lamp(number)), defect or GOOD, mask)

    def lamp(self, number: int) -> float:
        """Return the lamp's brightness for image `number`: 1, and down to 0.35 once it fades."""
        after = self._options.lamp_fades_after
        if after is None or number <= after:
            return 1.0
        return 1 - (1 - DIMMEST) * min(1.0, (number - after) / self._options.lamp_fades_over)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield frames until `stop`, with the pause that the options set."""
        number = 0
        while not stop.is_set():
            if number == self._options.silent_from and self._wait(stop, self._options.silent_for_s):
                return
            image = self.image(number)
            yield Frame(
                station=self._station,
                captured_at=self._now(),
                image=image.image,
                content_type="image/jpeg",
                part_id=f"{self._name}-{self._options.seed}-{number:06d}",
                truth=image.truth,
            )
            number += 1

    def confirm(self, frame: Frame) -> None:
        """Do nothing: a simulated line starts from the beginning each time."""

    def close(self) -> None:
        """Do nothing: a simulated line holds nothing open."""


def normals(name: str, count: int, seed: int = 0) -> Sequence[bytes]:
    """Return `count` JPEGs of good parts for a normal set; none is an image of the line."""
    draw = scene(name).draw
    images = []
    for number in range(count):
        rng = _generator(name, "normals", seed, number)
        images.append(photograph(draw(rng, None)[0], rng))
    return images


def scene(name: str) -> Scene:
    """Return the kind of part of a name; raise `SourceError` for a name that no simulated line has."""
    if name not in SCENES:
        raise SourceError(f"There is no simulated line {name!r}; choose one of {', '.join(SCENES)}.")
    return SCENES[name]


def _generator(name: str, purpose: str, seed: int, number: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{name}\0{purpose}\0{seed}\0{number}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))


def line_options(text: str) -> SimulationOptions:
    """Parse ``key=value&…``; raise `SourceError` for an unknown key or a value out of range."""
    values: dict[str, int | float] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key not in OPTION_NAMES:
            raise SourceError(f"A simulated line has no option {key!r}; it has {', '.join(OPTION_NAMES)}.")
        values[key] = _number(key, value)
    options = SimulationOptions(**values)  # type: ignore[arg-type]
    if not 0 <= options.defect_rate <= 1:
        raise SourceError(f"The defect rate must be between 0 and 1, not {options.defect_rate}.")
    if options.lamp_fades_over < 1 or not 0 <= options.silent_for_s < float("inf"):
        raise SourceError("The option lamp_fades_over must be at least 1 frame, and silent_for_s at least 0 seconds.")
    return options


def _number(key: str, value: str) -> int | float:
    """Return the value of an option, a float for those in `FRACTIONS`, else an int; 50.0 is an int."""
    try:
        number = float(value)
    except ValueError as error:
        raise SourceError(f"The simulated line's option {key}={value} is not a number.") from error
    if key in FRACTIONS:
        return number
    if not number.is_integer():
        raise SourceError(f"The simulated line's option {key}={value} is not a whole number.")
    return int(number)


def open_simulated(location: str, station: str, settings: IngestSettings) -> SimulatedLine:
    """Open ``simulated:NAME?options``; raise `SourceError` for an unknown name or option."""
    del settings  # a simulated line needs none
    name, _, options = location.partition("?")
    return SimulatedLine(name, station, line_options(options))
