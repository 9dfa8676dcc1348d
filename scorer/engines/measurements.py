"""How fast engines are on this machine, in a JSON file; reading it needs no torch."""

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
    """The engine and the precision that a network runs in."""

    engine: EngineName
    precision: Literal["fp32", "bf16"]

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, slots=True)
class EngineMeasurement:
    """How fast the engines compute one backbone on one machine.

    Attributes:
        backbone: Its name.
        machine: Processor and cores, or the GPU.
        chosen: The engine and precision to use.
        images_per_s: Images per second of all parallel calls together, by `str(EngineConfig)`.
        rejected: Why others are not among them, by `str(EngineConfig)`.
        measured_at: UTC, ISO 8601.
    """

    backbone: str
    machine: str
    chosen: EngineConfig
    images_per_s: Mapping[str, float]
    rejected: Mapping[str, str]
    measured_at: str


def read_measurements(file: Path) -> dict[str, EngineMeasurement]:
    """Return all measurements by key; none where the file is missing or cannot be read."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {
            key: EngineMeasurement(**{**fields, "chosen": EngineConfig(**fields["chosen"])})
            for key, fields in stored.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("measurements of engines can't be read, all are repeated", file=str(file), error=str(error))
        return {}


def record_measurement(file: Path, key: str, measurement: EngineMeasurement) -> None:
    """Add a measurement to the file; of two workers that measure at the same time either's result is as good."""
    stored = {name: asdict(entry) for name, entry in (read_measurements(file) | {key: measurement}).items()}
    try_to_write(file, (json.dumps(stored, indent=2) + "\n").encode())


def try_to_write(file: Path, content: bytes) -> None:
    """Write a file that can be computed again; a failure is logged, and the next start computes it again."""
    try:
        write_file(file, content)
    except OSError as error:  # no reason to stop the line
        log.warning("what was compiled of a network can't be stored", file=str(file), error=str(error))
