"""Which engine and precision a network runs in on this machine: measured when a worker first starts, then stored.

Whole calls are measured, from framed images to tokens, as many in parallel as a worker makes (docs/adr/0027).
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import structlog
import torch

from foundation.clock import utc_now
from scorer.engines.devices import default_score_threads, processor_name, usable_cores
from scorer.engines.measurements import FILE, EngineConfig, EngineMeasurement, read_measurements, record_measurement
from scorer.engines.precision import has_fast_bf16
from scorer.engines.protocol import EngineOptions
from scorer.engines.registry import ENGINES
from scorer.errors import UnsupportedEngine
from scorer.settings import ScorerSettings

log = structlog.get_logger()

MIN_SPEEDUP = 1.1
"""An engine replaces torch where it is faster by this factor: less is the noise of the machine."""

MAX_RELATIVE_ERROR = {"fp32": 1e-3, "bf16": 5e-2}
"""Largest difference of tokens from torch's in fp32, as a fraction of the largest of these; more is an error."""

FP32_ONLY = ("onnxruntime",)
ROUNDS, ROUND_S = 3, 0.4
PACKAGES = ("torch", "openvino", "onnxruntime")

TORCH_FP32 = EngineConfig("torch", "fp32")

Tokens = Callable[[torch.Tensor], torch.Tensor]
Build = Callable[[EngineConfig], Tokens]
"""Builds a backbone: from framed images (B, 3, H, W) uint8 to tokens."""


def engine_options(settings: ScorerSettings, backbone: str, contents: str) -> EngineOptions:
    """Return how a worker calls a network; `contents` identifies its weights and the outputs that are used."""
    parallel_calls = settings.score_threads or default_score_threads(settings.device)
    network = sha256(f"{backbone} {contents}".encode()).hexdigest()[:16]
    return EngineOptions(parallel_calls, settings.torch_threads or 1, settings.engines_path, network)


def select_engine(
    settings: ScorerSettings, device: torch.device, backbone: str, contents: str, size: tuple[int, int], build: Build
) -> EngineConfig:
    """Return the engine of the settings, or for ``auto`` the fastest here, measured now if it never was.

    Args:
        settings: The scorer's.
        device: Where the network runs.
        backbone: Its name.
        contents: Identifies its weights.
        size: Height and width of the images, in pixels.
        build: Builds the backbone on an engine.

    Raises:
        UnsupportedEngine: The engine that the settings name cannot be used here, or none can.
    """
    candidates = _candidates(settings, device)
    if len(candidates) == 1:
        return candidates[0]
    key = _key(settings, device, backbone, contents, candidates)
    parallel_calls = engine_options(settings, backbone, contents).parallel_calls
    found = read_measurements(settings.engines_path / FILE).get(key)
    if found is None:
        found = measure_engines(
            backbone, _machine(device), candidates, build, _noise_images(settings, size), parallel_calls
        )
        record_measurement(settings.engines_path / FILE, key, found)
        log.info("engine chosen", backbone=backbone, engine=str(found.chosen), images_per_s=found.images_per_s)
    return found.chosen


def measure_engines(
    backbone: str,
    machine: str,
    candidates: Sequence[EngineConfig],
    build: Build,
    images: torch.Tensor,
    parallel_calls: int,
) -> EngineMeasurement:
    """Time the candidates in turns, of which each one's fastest counts; one that fails or differs is rejected.

    Raises `UnsupportedEngine` where all are rejected.
    """
    rejected: dict[str, str] = {}
    built: dict[EngineConfig, Tokens] = {}
    reference = build(TORCH_FP32)
    expected = reference(images)
    for candidate in candidates:
        try:
            tokens = reference if candidate == TORCH_FP32 else build(candidate)
            difference = float((tokens(images) - expected).abs().max() / expected.abs().max())
        except Exception as error:  # noqa: BLE001  engines raise whatever they like, and torch can do it as well
            log.warning("an engine can't be used", backbone=backbone, engine=str(candidate), error=str(error))
            rejected[str(candidate)] = f"{type(error).__name__}: {error}"
            continue
        if not difference <= MAX_RELATIVE_ERROR[candidate.precision]:  # so that NaN is rejected too
            rejected[str(candidate)] = f"its tokens differ from torch's by {difference:.2g} of the largest"
            continue
        built[candidate] = tokens
    if not built:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in rejected.items())
        raise UnsupportedEngine(
            f"No engine here computes {backbone} in the scorer.precision of the settings ({reasons}); set it to auto."
        )
    rates: dict[EngineConfig, float] = dict.fromkeys(built, 0.0)
    with ThreadPoolExecutor(parallel_calls) as pool:
        for _ in range(ROUNDS):
            for config, tokens in built.items():
                rates[config] = max(rates[config], _rate(tokens, images, pool, parallel_calls))
    return EngineMeasurement(
        backbone,
        machine,
        _best(rates),
        {str(config): round(rate, 2) for config, rate in rates.items()},
        rejected,
        utc_now().isoformat(timespec="seconds"),
    )


def _candidates(settings: ScorerSettings, device: torch.device) -> list[EngineConfig]:
    """Return all that the settings allow and this machine has, torch first."""
    if settings.precision == "auto":
        precisions: Sequence[Literal["fp32", "bf16"]] = ("bf16", "fp32") if has_fast_bf16(device) else ("fp32",)
    else:
        precisions = (settings.precision,)
    if settings.engine != "auto":
        if reason := ENGINES[settings.engine].unavailable_reason(device):
            raise UnsupportedEngine(f"scorer.engine is {settings.engine}: {reason}")
        if settings.engine in FP32_ONLY and "fp32" not in precisions:
            raise UnsupportedEngine(
                f"scorer.engine is {settings.engine}, which computes in fp32, and scorer.precision bf16."
            )
        return [EngineConfig(settings.engine, "fp32" if settings.engine in FP32_ONLY else precisions[0])]
    return [
        EngineConfig(name, precision)
        for name, engine in ENGINES.items()
        for precision in precisions
        if engine.unavailable_reason(device) is None and not (name in FP32_ONLY and precision != "fp32")
    ]


def _best(rates: Mapping[EngineConfig, float]) -> EngineConfig:
    """Return the fastest, or torch's fastest where nothing is faster by `MIN_SPEEDUP`."""
    fastest = max(rates, key=rates.__getitem__)
    torch_fastest = max(
        (config for config in rates if config.engine == "torch"), key=rates.__getitem__, default=fastest
    )
    return fastest if rates[fastest] > MIN_SPEEDUP * rates[torch_fastest] else torch_fastest


def _rate(tokens: Tokens, images: torch.Tensor, pool: ThreadPoolExecutor, parallel_calls: int) -> float:
    """Return the images per second of all parallel calls together."""
    started_s = time.perf_counter()

    def call(_: int) -> int:
        done = 0
        while done == 0 or time.perf_counter() - started_s < ROUND_S:
            tokens(images).flatten()[0].item()  # waits for a GPU
            done += len(images)
        return done

    done = sum(pool.map(call, range(parallel_calls)))
    return done / (time.perf_counter() - started_s)


def _noise_images(settings: ScorerSettings, size: tuple[int, int]) -> torch.Tensor:
    """Return images of noise, (B, 3, H, W) uint8, which cost a network as much as any others."""
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (settings.model_batch_frames, 3, *size), dtype=torch.uint8, generator=draw)


def _machine(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor_name()}, {usable_cores()} cores"
    )


def _key(
    settings: ScorerSettings, device: torch.device, backbone: str, contents: str, candidates: Sequence[EngineConfig]
) -> str:
    fields = [
        [str(config) for config in candidates],
        _machine(device),
        backbone,
        contents,
        settings.precision,
        settings.score_threads,
        settings.torch_threads,
        list(_versions()),
    ]
    return sha256(json.dumps(fields).encode()).hexdigest()[:16]


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"no {package}"
