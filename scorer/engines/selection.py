"""Which engine and precision a network runs in on this machine: measured once, when a worker first starts, and kept.

Measured are full calls, from framed pictures to tokens, with as many at once as a worker makes (docs/adr/0027).
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
"""An engine takes torch's place where it does so many times as much: below that it is the noise of the machine."""

MAX_RELATIVE_ERROR = {"fp32": 1e-3, "bf16": 5e-2}
"""Of tokens from torch's in fp32, as a share of the largest of these; what differs more computes something else."""

FP32_ONLY = ("onnxruntime",)
ROUNDS, ROUND_S = 3, 0.4
PACKAGES = ("torch", "openvino", "onnxruntime")

TORCH_FP32 = EngineConfig("torch", "fp32")

Tokens = Callable[[torch.Tensor], torch.Tensor]
Build = Callable[[EngineConfig], Tokens]
"""A backbone so computed, as the function from framed pictures (B, 3, H, W), uint8, to tokens."""


def engine_options(settings: ScorerSettings, backbone: str, contents: str) -> EngineOptions:
    """As a worker calls a network; contents: tells the weights and which of its outputs are asked for."""
    at_once = settings.score_threads or default_score_threads(settings.device)
    network = sha256(f"{backbone} {contents}".encode()).hexdigest()[:16]
    return EngineOptions(at_once, settings.torch_threads or 1, settings.engines_path, network)


def select_engine(
    settings: ScorerSettings, device: torch.device, backbone: str, contents: str, size: tuple[int, int], build: Build
) -> EngineConfig:
    """What the settings say, or with ``auto`` what was fastest here; measured now if it never was.

    contents: tells the weights. size: height and width of the pictures. Raises `UnsupportedEngine` for an engine that
    is not
    here.
    """
    candidates = _candidates(settings, device)
    if len(candidates) == 1:
        return candidates[0]
    key = _key(settings, device, backbone, contents, candidates)
    at_once = engine_options(settings, backbone, contents).at_once
    found = read_measurements(settings.engines_path / FILE).get(key)
    if found is None:
        found = measure_engines(backbone, _machine(device), candidates, build, _pictures(settings, size), at_once)
        record_measurement(settings.engines_path / FILE, key, found)
        log.info("engine chosen", backbone=backbone, engine=str(found.running), images_per_s=found.images_per_s)
    return found.running


def measure_engines(
    backbone: str, machine: str, candidates: Sequence[EngineConfig], build: Build, pictures: torch.Tensor, at_once: int
) -> EngineMeasurement:
    """Time each candidate, turn by turn; its fastest turn counts. A candidate that fails or differs is left out."""
    left_out: dict[str, str] = {}
    built: dict[EngineConfig, Tokens] = {}
    plain = build(TORCH_FP32)
    expected = plain(pictures)
    for one in candidates:
        try:
            tokens = plain if one == TORCH_FP32 else build(one)
            difference = float((tokens(pictures) - expected).abs().max() / expected.abs().max())
        except Exception as error:  # noqa: BLE001  engines raise whatever they like, and torch can do it as well
            log.warning("an engine can't be used", backbone=backbone, engine=str(one), error=str(error))
            left_out[str(one)] = f"{type(error).__name__}: {error}"
            continue
        if not difference <= MAX_RELATIVE_ERROR[one.precision]:  # so that no number at all is refused too
            left_out[str(one)] = f"its tokens differ from torch's by {difference:.2g} of the largest"
            continue
        built[one] = tokens
    if not built:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UnsupportedEngine(
            f"Nothing here computes {backbone} as scorer.precision asks ({reasons}); set it to auto."
        )
    rates: dict[EngineConfig, float] = dict.fromkeys(built, 0.0)
    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(ROUNDS):
            for one, tokens in built.items():
                rates[one] = max(rates[one], _rate(tokens, pictures, pool, at_once))
    return EngineMeasurement(
        backbone,
        machine,
        _best(rates),
        {str(one): round(rate, 2) for one, rate in rates.items()},
        left_out,
        utc_now().isoformat(timespec="seconds"),
    )


def _candidates(settings: ScorerSettings, device: torch.device) -> list[EngineConfig]:
    """All that the settings allow and this machine has, torch first."""
    if settings.precision == "auto":
        precisions: Sequence[Literal["fp32", "bf16"]] = ("bf16", "fp32") if has_fast_bf16(device) else ("fp32",)
    else:
        precisions = (settings.precision,)
    if settings.engine != "auto":
        if why := ENGINES[settings.engine].missing(device):
            raise UnsupportedEngine(f"scorer.engine is {settings.engine}: {why}")
        if settings.engine in FP32_ONLY and "fp32" not in precisions:
            raise UnsupportedEngine(
                f"scorer.engine is {settings.engine}, which computes in fp32, and scorer.precision bf16."
            )
        return [EngineConfig(settings.engine, "fp32" if settings.engine in FP32_ONLY else precisions[0])]
    return [
        EngineConfig(engine, precision)
        for engine, one in ENGINES.items()
        for precision in precisions
        if one.missing(device) is None and not (engine in FP32_ONLY and precision != "fp32")
    ]


def _best(rates: Mapping[EngineConfig, float]) -> EngineConfig:
    """The fastest, or torch's fastest where that can be used and nothing is faster by `MIN_SPEEDUP`."""
    fastest = max(rates, key=rates.__getitem__)
    ours = max((one for one in rates if one.engine == "torch"), key=rates.__getitem__, default=fastest)
    return fastest if rates[fastest] > MIN_SPEEDUP * rates[ours] else ours


def _rate(tokens: Tokens, pictures: torch.Tensor, pool: ThreadPoolExecutor, at_once: int) -> float:
    """Pictures a second of so many callers together."""
    began_s = time.perf_counter()

    def call(_: int) -> int:
        done = 0
        while done == 0 or time.perf_counter() - began_s < ROUND_S:
            tokens(pictures).flatten()[0].item()  # waits for a GPU
            done += len(pictures)
        return done

    done = sum(pool.map(call, range(at_once)))
    return done / (time.perf_counter() - began_s)


def _pictures(settings: ScorerSettings, size: tuple[int, int]) -> torch.Tensor:
    """Noise, of which a network has as much work as of a part."""
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (settings.model_batch_frames, 3, *size), dtype=torch.uint8, generator=draw)


def _machine(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor_name()}, {usable_cores()} cores"
    )


def _key(
    settings: ScorerSettings, device: torch.device, backbone: str, contents: str, candidates: Sequence[EngineConfig]
) -> str:
    told = [
        [str(one) for one in candidates],
        _machine(device),
        backbone,
        contents,
        settings.precision,
        settings.score_threads,
        settings.torch_threads,
        list(_versions()),
    ]
    return sha256(json.dumps(told).encode()).hexdigest()[:16]


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"no {package}"
