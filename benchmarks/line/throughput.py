"""Compare the line's throughput, from bus to committed verdict, with the bare network's on the same cores.

``python -m benchmarks.line.throughput [--bus embedded|kafka] [--quick] [--json FILE]``

Frames are JPEGs of 200 kB, 1280 × 960. All of them are on the bus before the worker starts; it then reads, decodes,
scores, writes and commits them. The bare network gets images that fill its square input, and is called as the worker
calls it: on every core, one thread each. It is measured on the engine that the worker uses and on torch, and on that
engine also with frames as the line frames them, where a backbone may crop the padding. Line and network are measured in
turns, so that a machine that becomes slower affects both. An OpenCLIP backbone, such as ``--backbone
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
from imaging.decode import decode
from scorer.detectors import registry
from scorer.detectors.protocol import Detector
from scorer.engines.devices import default_score_threads, resolve_device
from scorer.engines.measurements import FILE, read_measurements
from scorer.engines.precision import has_fast_bf16
from scorer.imaging.framing import Framed, Framing
from scorer.settings import ScorerSettings

DIFFERENT_FRAMES, QUICK_DIFFERENT_FRAMES = 48, 13
NORMALS = 4
BARE_S, QUICK_BARE_S = 8.0, 1.0
FRAMES_PER_TURN = 640
"""The fewest frames per turn, because cores are idle at the start and the end of a run."""


def main() -> None:
    """Measure, print and, with --json, write the results."""
    parser = line_argument_parser("throughput", __doc__ or "")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--engine", default="auto", help="engine; auto is the one that a measurement chose")
    options = parser.parse_args()
    named = ScorerSettings(
        detector=options.detector,
        backbone=options.backbone,
        device=options.device,
        precision=options.precision,
        engine=options.engine,
    )
    frames, bare_s = (200, QUICK_BARE_S) if options.quick else (options.frames, BARE_S)
    turns = max(1, frames // FRAMES_PER_TURN)
    images = [render_jpeg(number) for number in range(QUICK_DIFFERENT_FRAMES if options.quick else DIFFERENT_FRAMES)]
    with random_clip_weights(named) as settings, benchmark_line(options.bus, options.bootstrap, settings) as line:
        line.add_station("s1", [render_jpeg(1000 + number) for number in range(NORMALS)])
        detector = registry.load(settings, Framing("stretch"))
        on_torch = registry.load(settings.model_copy(update={"engine": "torch"}), Framing("stretch"))
        as_framed = registry.load(settings, Framing())
        networks = (detector, on_torch, as_framed)
        torch.set_num_threads(settings.torch_threads or 1)
        bare = [[network_images_per_second(network, images, settings, bare_s) for network in networks]]
        took_s = 0.0
        for turn in range(turns):
            took_s += time_line(line, ["s1"], images, frames // turns, first=turn * (frames // turns))
            bare.append([network_images_per_second(network, images, settings, bare_s) for network in networks])
    whole = frames // turns * turns / took_s
    on_engine, on_torch_alone, framed = (fmean(rates) for rates in zip(*bare, strict=True))
    results = {
        "bus": options.bus,
        "detector": options.detector,
        "backbone": options.backbone,
        "frames": frames,
        "frame_bytes": round(fmean(len(image) for image in images)),
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
    report_results(results, options.json)


def time_line(
    line: BenchmarkLine, stations: Sequence[str], images: Sequence[bytes], frames: int, first: int = 0
) -> float:
    """Publish and score `frames` frames; return the seconds from the first one read to the last verdict committed.

    Args:
        line: The line.
        stations: The frames go to these stations in turn.
        images: The JPEGs that the frames are made from, in turn.
        frames: How many frames.
        first: The number of the first frame; frames of numbers that were not sent before are new files.

    Raises:
        RuntimeError: The number of new verdicts is another one.
    """
    line.publish([(stations[0], images[0])])
    line.drain()  # computes references and warms up
    before = line.count_verdicts()
    line.publish(
        [
            (stations[number % len(stations)], with_unique_content(images[number % len(images)], number))
            for number in range(first, first + frames)
        ]
    )
    took_s = line.drain()
    if (made := line.count_verdicts() - before) != frames:
        raise RuntimeError(f"{frames} frames gave {made} verdicts.")
    return took_s


def network_images_per_second(
    detector: Detector, images: Sequence[bytes], settings: ScorerSettings, duration_s: float
) -> float:
    """Return images per second through the network alone, in the worker's micro-batches and threads."""
    framed = [detector.prepare(decode(data, settings.image_limits, detector.target_size).pixels) for data in images]
    batch, threads = settings.model_batch_frames, default_score_threads(settings.device)

    def call(thread: int) -> float:
        started_s, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - started_s < duration_s:
            detector.encode(_cycle(framed, (done * threads + thread) * batch, batch))
            done += 1
        return batch * done / (time.perf_counter() - started_s)  # its own time, since another thread may end later

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda thread: detector.encode(_cycle(framed, thread, batch)), range(threads)))
        return sum(pool.map(call, range(threads)))


def engine_in_use(settings: ScorerSettings) -> str:
    """Return the engine of the settings, or the one that a measurement chose among the precisions they allow."""
    if settings.engine != "auto":
        return settings.engine
    allows_bf16 = settings.precision != "fp32" and has_fast_bf16(resolve_device(settings.device))
    chosen = [
        str(one.chosen)
        for one in read_measurements(settings.engines_path / FILE).values()
        if one.backbone == settings.backbone.replace("/", " ") and ("torch bf16" in one.images_per_s) == allows_bf16
    ]
    return chosen[-1] if chosen else settings.engine


def _cycle(framed: Sequence[Framed], first: int, count: int) -> list[Framed]:
    return [framed[number % len(framed)] for number in range(first, first + count)]


if __name__ == "__main__":
    main()
