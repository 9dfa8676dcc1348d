"""What was measured of engines on this machine, in a file that people may read; no torch is needed to read it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import structlog

from foundation.atomic_files import write_file

EngineName = Literal["torch", "openvino", "onnxruntime", "cuda-graphs"]

log = structlog.get_logger()

FILE = "measured.json"


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How a network is computed."""

    engine: EngineName
    precision: Literal["fp32", "bf16"]

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, slots=True)
class EngineMeasurement:
    """Pictures a second of all calls together, by `str(Running)`, and why others are not among them."""

    backbone: str
    machine: str
    running: EngineConfig
    images_per_s: Mapping[str, float]
    left_out: Mapping[str, str]
    measured_at: str


def read_measurements(file: Path) -> dict[str, EngineMeasurement]:
    """What was measured so far, by key; nothing where there is no file, or one that can't be read."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return {
            key: EngineMeasurement(**{**one, "running": EngineConfig(**one["running"])}) for key, one in told.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("measurements of engines can't be read, all are made anew", file=str(file), error=str(error))
        return {}


def record_measurement(file: Path, key: str, found: EngineMeasurement) -> None:
    """Beside what is there; a worker that starts at the same time may measure as well, and either's answer will do."""
    written = {one: asdict(measured) for one, measured in (read_measurements(file) | {key: found}).items()}
    try_to_write(file, (json.dumps(written, indent=2) + "\n").encode())


def try_to_write(file: Path, content: bytes) -> None:
    """Write a file that can be computed again; a failure is logged, and the next start computes it again."""
    try:
        write_file(file, content)
    except OSError as error:  # no reason to stop the line
        log.warning("what was made of a network can't be kept", file=str(file), error=str(error))
