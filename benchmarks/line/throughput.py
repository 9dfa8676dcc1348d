"""How much of the bare network's rate is left from bus to committed verdict, on the same cores in one run.

``python -m benchmarks.line.throughput [--bus embedded|kafka] [--quick] [--json FILE]``

Frames are JPEGs of 200 kB, 1280 × 960. All of them lie on the bus before the worker starts; it then reads, decodes,
scores, writes and commits them. The bare network gets pictures that fill its square, as the worker calls it: on every
core, one thread each; once on the engine that the worker uses, and once on torch. On that engine it is also measured
with the frames as the line frames them, of which a backbone may leave out the letterbox's bars. Line and network take
turns, so that a machine that grows slower meanwhile is so for both. An OpenCLIP tower, as ``--backbone
openclip/ViT-B-16-plus-240``, has random weights.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import torch

from benchmarks.line.benchmark_line import (
    BenchmarkLine,
    benchmark_line,
    random_clip_weights,
    render_jpeg,
    with_unique_content,
)
from benchmarks.machine import describe_machine
from benchmarks.reporting import line_argument_parser, report_results
from scorer.detectors import registry
from scorer.detectors.protocol import Detector
from scorer.engines.devices import default_score_threads, resolve_device
from scorer.engines.measurements import FILE, read_measurements
from scorer.engines.precision import has_fast_bf16
from scorer.imaging.decode import decode
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings

DIFFERENT_FRAMES, QUICK_DIFFERENT_FRAMES = 48, 13
NORMALS = 4
BARE_S, QUICK_BARE_S = 8.0, 1.0
FRAMES_PER_TURN = 640
"""At least: a line that begins and ends has cores without work, which is not what is asked here."""


def main() -> None:
    """Measure, print and, where asked, write the figures."""
    parser = line_argument_parser("pipeline", __doc__ or "")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--engine", default="auto", help="instead of the one that is measured to be fastest")
    asked = parser.parse_args()
    named = ScorerSettings(
        detector=asked.detector,
        backbone=asked.backbone,
        device=asked.device,
        precision=asked.precision,
        engine=asked.engine,
    )
    frames, bare_s = (200, QUICK_BARE_S) if asked.quick else (asked.frames, BARE_S)
    turns = max(1, frames // FRAMES_PER_TURN)
    pictures = [render_jpeg(number) for number in range(QUICK_DIFFERENT_FRAMES if asked.quick else DIFFERENT_FRAMES)]
    with random_clip_weights(named) as settings, benchmark_line(asked.bus, asked.bootstrap, settings) as line:
        line.station("s1", [render_jpeg(1000 + number) for number in range(NORMALS)])
        detector = registry.load(settings, Framing("stretch"))
        on_torch = registry.load(settings.model_copy(update={"engine": "torch"}), Framing("stretch"))
        as_framed = registry.load(settings, Framing())
        nets = (detector, on_torch, as_framed)
        torch.set_num_threads(settings.torch_threads or 1)
        bare = [[network_images_per_second(one, pictures, settings, bare_s) for one in nets]]
        took_s = 0.0
        for turn in range(turns):
            took_s += time_line(line, ["s1"], pictures, frames // turns, first=turn * (frames // turns))
            bare.append([network_images_per_second(one, pictures, settings, bare_s) for one in nets])
    whole = frames // turns * turns / took_s
    on_engine, on_torch_alone, framed = (fmean(rates) for rates in zip(*bare, strict=True))
    figures = {
        "bus": asked.bus,
        "detector": asked.detector,
        "backbone": asked.backbone,
        "frames": frames,
        "frame_bytes": round(fmean(len(picture) for picture in pictures)),
        "engine": engine_in_use(settings),
        "bare_per_s": round(on_engine, 2),
        "bare_torch_per_s": round(on_torch_alone, 2),
        "bare_framed_per_s": round(framed, 2),
        "line_per_s": round(whole, 2),
        "ratio": round(whole / on_engine, 3),
        "ratio_to_torch": round(whole / on_torch_alone, 3),
        "ratio_framed": round(whole / framed, 3),
        "bare_turn_by_turn": [round(rates[0], 2) for rates in bare],
        "machine": describe_machine(),
    }
    report_results(figures, asked.json)


def time_line(
    line: BenchmarkLine, stations: Sequence[str], pictures: Sequence[bytes], frames: int, first: int = 0
) -> float:
    """Seconds from the first of so many frames read to the last verdict committed; every frame has its own.

    The frames are numbered from `first`; with numbers that were not sent before each is a picture of its own.
    """
    line.publish([(stations[0], pictures[0])])
    line.drain()  # what is computed once is so now
    before = line.verdicts()
    line.publish(
        [
            (stations[number % len(stations)], with_unique_content(pictures[number % len(pictures)], number))
            for number in range(first, first + frames)
        ]
    )
    took_s = line.drain()
    if (made := line.verdicts() - before) != frames:
        raise RuntimeError(f"{frames} frames gave {made} verdicts")
    return took_s


def network_images_per_second(
    detector: Detector, pictures: Sequence[bytes], settings: ScorerSettings, for_s: float
) -> float:
    """Pictures a second through the network alone, in the worker's micro-batches and threads."""
    framed = [detector.prepare(decode(data, settings, detector.target_size).picture) for data in pictures]
    at_once, threads = settings.model_batch_frames, default_score_threads(settings.device)

    def call(thread: int) -> float:
        began_s, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - began_s < for_s:
            detector.encode(_some(framed, (done * threads + thread) * at_once, at_once))
            done += 1
        return at_once * done / (time.perf_counter() - began_s)  # its own time: the other may end a batch later

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda thread: detector.encode(_some(framed, thread, at_once)), range(threads)))
        return sum(pool.map(call, range(threads)))


def engine_in_use(settings: ScorerSettings) -> str:
    """What the settings say, or what was measured on this machine among the precisions that they allow."""
    if settings.engine != "auto":
        return settings.engine
    is_bf16_asked = settings.precision != "fp32" and has_fast_bf16(resolve_device(settings.device))
    chosen = [
        str(one.running)
        for one in read_measurements(settings.engines_path / FILE).values()
        if one.backbone == settings.backbone.replace("/", " ") and ("torch bf16" in one.images_per_s) == is_bf16_asked
    ]
    return chosen[-1] if chosen else settings.engine


def _some(framed: Sequence[Framed], first: int, count: int) -> list[Framed]:
    return [framed[number % len(framed)] for number in range(first, first + count)]


if __name__ == "__main__":
    main()
