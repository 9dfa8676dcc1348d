"""PatchCore, PaDiM and WinCLIP against anomalib 2.7, on the same features and pictures, in one run.

``python -m benchmarks.peers.comparison --data DIR… [--teacher FILE] [--environment DIR] [--quick] [--json FILE]``
makes anomalib's
environment with uv where it is not there yet, gives both sides the same ResNet-18 (the teacher's file, else random
weights), the same 256-px pictures and the same 4 shots, and prints image AUROC and milliseconds an image, taken in
turns, of which the fastest counts: load only ever adds. WinCLIP is timed at random weights. Ours is timed as a worker
on this machine runs it, on the engine and in the precision that a measurement chooses, and on torch in fp32, where both
sides compute the same products; accuracy is that of the latter. Exit 1 where the former is below a goal.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from benchmarks.machine import describe_machine
from benchmarks.peers.anomalib_process import Anomalib, environment
from benchmarks.peers.resnet_backbone import SIDE_PX, ResnetBackbone, load_weight_arrays, to_timm_state_dict
from scorer.backbones.clip_loader import LoadedClip
from scorer.backbones.image_resize import frame_image
from scorer.backbones.openclip import OpenClip, build_network, find_architecture, image_size_of
from scorer.backbones.teacher_networks import WeightArrays
from scorer.backbones.weights.store import StoredWeights, WeightsCard
from scorer.detectors.clip.winclip import WinClip, WinClipModel
from scorer.detectors.padim import Padim
from scorer.detectors.patch_detector import PatchDetector
from scorer.detectors.patch_method import PatchMethod
from scorer.detectors.patchcore import CORESET_FRACTION, NEIGHBOURHOOD, PatchCore
from scorer.detectors.protocol import Detector, References
from scorer.detectors.whole_image import WholeImageDetector
from scorer.engines.measurements import EngineConfig
from scorer.engines.precision import Precision
from scorer.engines.selection import engine_options, select_engine
from scorer.evaluation.metrics import auroc
from scorer.imaging.decode import decode
from scorer.imaging.framing import Framing
from scorer.imaging.rgb import RgbImage
from scorer.settings import ScorerSettings

SHOTS = 4
CLIP, NOUN = "ViT-B-16-plus-240", "bolt"
CPU = torch.device("cpu")
STRETCH = Framing("stretch")

LAYERS = {"patchcore": (2, 3), "padim": (1, 2, 3)}
INTERPOLATION_MODES = {"patchcore": "bilinear", "padim": "nearest"}
"""Each method's layers in anomalib, and how coarser ones are brought to the first one's grid."""

WIDTH = 256
OFFSETS = {1: 0, 2: 64, 3: 192}
"""Joined by us, each layer has so many channels, zeros among them; joined by anomalib, it begins there."""

IMAGES_PER_TURN = 4
"""Pictures a turn: the first may wait for threads of the other side, which look for work a while longer."""

GOALS = {"patchcore": 2.5, "winclip": 1.3}
"""How many times faster than anomalib a method shall be."""

IN_FP32 = ScorerSettings(device="cpu", engine="torch", precision="fp32")
TORCH_IN_FP32 = ", torch in fp32"


@dataclass(frozen=True, slots=True)
class PeerDataset:
    """One set: normals to draw from, and what is tested, `good` ones first, then anomalies; all 256 × 256."""

    name: str
    pool: list[RgbImage]
    tested: list[RgbImage]
    good: int

    def normals(self, seed: int) -> list[RgbImage]:
        """The shots of one draw."""
        return random.Random(seed).sample(self.pool, SHOTS)


@dataclass(frozen=True, slots=True)
class AccuracyComparison:
    """Image AUROC in percent of a method on a set, mean over draws."""

    method: str
    dataset: str
    ours: float
    anomalib: float


@dataclass(frozen=True, slots=True)
class SpeedComparison:
    """Milliseconds an image, one at a time: on the clock, the fastest of all turns, and of the processor, which on a
    busy machine tells more; ratio: on the clock."""

    method: str
    ours_ms: float
    anomalib_ms: float
    ours_processor_ms: float
    anomalib_processor_ms: float
    ratio: float
    processor_ratio: float
    goal: float | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print and write; return the exit code."""
    asked = _arguments(arguments)
    torch.set_num_threads(asked.threads)
    python, arrays = environment(asked.environment), load_weight_arrays(asked.teacher)
    sets = [read(folder, asked.limit) for folder in asked.data]
    with tempfile.TemporaryDirectory(prefix="andon-peers-") as made:
        save_file(to_timm_state_dict(arrays), Path(made, "resnet18.safetensors"))
        with Anomalib(python, Path(made), asked.threads) as anomalib:
            speeds = list(time_patch_methods(sets[0], arrays, anomalib, Path(made), asked.rounds))
            if not asked.without_winclip:
                speeds += time_winclip(sets[0], anomalib, Path(made), max(1, asked.rounds // 8))
            accuracies = [one for some in sets for one in compare(some, arrays, anomalib, Path(made), asked.seeds)]
    report(accuracies, speeds)
    if asked.json:
        told = {
            "machine": describe_machine(),
            "threads": asked.threads,
            "weights": "teacher" if asked.teacher else "random",
        }
        told |= {"shots": SHOTS, "seeds": asked.seeds, "limit": asked.limit, "rounds": asked.rounds}
        figures = {"accuracy": [asdict(one) for one in accuracies], "speed": [asdict(one) for one in speeds]}
        asked.json.write_text(json.dumps(told | figures, indent=2) + "\n")
    return 0 if all(one.goal is None or one.ratio >= one.goal for one in speeds) else 1


def read(folder: Path, limit: int) -> PeerDataset:
    """A set in MVTec layout, stretched to 256 × 256, with at most `limit` normals and anomalies to test."""
    settings = ScorerSettings()

    def some(paths: Iterator[Path], most: int) -> list[RgbImage]:
        listed = sorted(paths)
        chosen = random.Random(0).sample(listed, min(most, len(listed)))
        return [
            frame_image(STRETCH, decode(path.read_bytes(), settings).picture, (SIDE_PX, SIDE_PX)) for path in chosen
        ]

    good = some((folder / "test" / "good").iterdir(), limit)
    bad = some((path for path in (folder / "test").glob("*/*") if path.parent.name != "good"), limit)
    pool = some((folder / "train" / "good").iterdir(), 8 * SHOTS)
    return PeerDataset(folder.name, pool, good + bad, len(good))


def ours(arrays: WeightArrays, settings: ScorerSettings = IN_FP32) -> dict[str, PatchDetector]:
    """Both methods of this project on the layers that anomalib takes, computed as the settings say."""
    methods: dict[str, tuple[PatchMethod, int]] = {
        "patchcore": (PatchCore(surroundings=1), NEIGHBOURHOOD),
        "padim": (Padim(), 1),
    }
    return {
        name: PatchDetector(method, layers(arrays, name, averaged, settings), STRETCH)
        for name, (method, averaged) in methods.items()
    }


def layers(arrays: WeightArrays, method: str, averaged: int, settings: ScorerSettings) -> ResnetBackbone:
    """ResNet-18's layers for a method, on the engine that the settings name or a measurement chooses."""
    called = engine_options(settings, f"resnet18 for {method}", "")

    def build(running: EngineConfig) -> ResnetBackbone:
        return ResnetBackbone(arrays, LAYERS[method], INTERPOLATION_MODES[method], averaged, running, called)

    size = SIDE_PX, SIDE_PX
    return build(
        select_engine(settings, CPU, f"resnet18 for {method}", "", size, lambda running: build(running).tokens)
    )


def anomalib_options(method: str, references: References) -> dict[str, Any]:
    """What anomalib must be told to do the same: its layers, and the coreset's share or the chosen channels."""
    asked = {"method": method, "layers": [f"layer{layer}" for layer in LAYERS[method]]}
    if method == "patchcore":
        return asked | {"share": CORESET_FRACTION}
    chosen = references.tensors["channels"].tolist()
    return asked | {"channels": [OFFSETS[LAYERS[method][one // WIDTH]] + one % WIDTH for one in chosen]}


def compare(
    pictures: PeerDataset, arrays: WeightArrays, anomalib: Anomalib, folder: Path, seeds: int
) -> list[AccuracyComparison]:
    """AUROC of both methods on one set, both sides, on the same shots."""
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        normals = pictures.normals(seed)
        asked = {"set": write_images(folder, pictures.name, normals, pictures.tested), "seed": seed}
        for method, detector in ours(arrays).items():
            references = detector.references(normals, NOUN)
            mine = [detector.score([picture], references).image_scores.item() for picture in pictures.tested]
            told = asked | anomalib_options(method, references)
            anomalib.ask(told | {"do": "fit"})
            theirs = anomalib.ask(told | {"do": "score"})["scores"]
            first, second = (100 * auroc(scores[: pictures.good], scores[pictures.good :]) for scores in (mine, theirs))
            found.setdefault(method, []).append((first, second))
    means = {method: [fmean(side) for side in zip(*both, strict=True)] for method, both in found.items()}
    return [AccuracyComparison(method, pictures.name, *both) for method, both in means.items()]


def time_patch_methods(
    pictures: PeerDataset, arrays: WeightArrays, anomalib: Anomalib, folder: Path, rounds: int
) -> Iterator[SpeedComparison]:
    """Time both methods; PatchCore also without anomalib's smoothed full-size map, which is more than ours."""
    normals = pictures.normals(0)
    asked = {"set": write_images(folder, pictures.name, normals, pictures.tested), "seed": 0}
    as_a_worker = ours(arrays, worker_settings(folder))
    for method, detector in ours(arrays).items():
        references = detector.references(normals, NOUN)
        told = asked | anomalib_options(method, references)
        anomalib.ask(told | {"do": "fit"})
        quickest = as_a_worker[method]
        quick = _scoring(quickest, quickest.references(normals, NOUN), pictures.tested)
        score = _scoring(detector, references, pictures.tested)
        yield time_in_turns(method, quick, anomalib, told, rounds)
        yield time_in_turns(f"{method}{TORCH_IN_FP32}", score, anomalib, told, rounds)
        if method == "patchcore":
            yield time_in_turns("patchcore, anomalib without its map", quick, anomalib, told | {"map": False}, rounds)


def worker_settings(folder: Path) -> ScorerSettings:
    """Engine and precision by measurement, for one call at a time with all threads that torch may use."""
    return ScorerSettings(
        device="cpu", score_threads=1, torch_threads=torch.get_num_threads(), engines_path=folder / "engines"
    )


def time_winclip(pictures: PeerDataset, anomalib: Anomalib, folder: Path, rounds: int) -> Iterator[SpeedComparison]:
    """Time WinCLIP with 4 shots; the towers' weights are random and the same."""
    torch.manual_seed(0)
    chosen = find_architecture(CLIP)
    network = build_network(chosen)
    path = folder / "clip.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    kept = StoredWeights(path, WeightsCard("openclip", CLIP, "random", source="here", contents="random"), "random", 0)
    normals, tested = (
        [frame_image(STRETCH, picture, image_size_of(network)) for picture in some]
        for some in (pictures.normals(0), pictures.tested[:4])
    )
    told = {"method": "winclip", "set": write_images(folder, "winclip", normals, tested), "noun": NOUN}
    anomalib.ask(told | {"do": "fit"})
    precisions: dict[str, Precision] = {"winclip": "auto", f"winclip{TORCH_IN_FP32}": "fp32"}
    for name, precision in precisions.items():
        towers = OpenClip(deepcopy(network), chosen, CPU, precision)
        detector = WholeImageDetector(WinClip(WinClipModel(LoadedClip(towers, kept))), STRETCH)
        score = _scoring(detector, detector.references(normals, NOUN), tested)
        yield time_in_turns(name, score, anomalib, told, rounds)


def time_in_turns(
    name: str, score: Callable[[int], None], anomalib: Anomalib, told: Mapping[str, Any], rounds: int
) -> SpeedComparison:
    """Time `IMAGES_PER_TURN` pictures of ours, then as many of anomalib's, and so on, so that both see the same
    load."""
    mine, theirs = [], []
    for number in range(rounds * IMAGES_PER_TURN):
        begun, worked = time.perf_counter(), time.process_time()
        score(number)
        mine.append((1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - worked)))
        if number % IMAGES_PER_TURN == IMAGES_PER_TURN - 1:
            answers = [anomalib.ask({**told, "do": "time", "picture": one}) for one in range(IMAGES_PER_TURN)]
            theirs += [(answer["ms"], answer["processor_ms"]) for answer in answers]
    clocks, works = zip(*mine, strict=True)
    their_clocks, their_works = zip(*theirs, strict=True)
    fastest = min(clocks), min(their_clocks), min(works), min(their_works)
    ratios = fastest[1] / fastest[0], fastest[3] / fastest[2]
    return SpeedComparison(name, *fastest, *ratios, GOALS.get(name))


def write_images(folder: Path, name: str, normals: Sequence[RgbImage], tested: Sequence[RgbImage]) -> str:
    """Put pictures where anomalib finds them, under that name."""
    stacked = {"normals": np.stack(normals), "tested": np.stack(tested)}
    tensors = {key: torch.from_numpy(some).permute(0, 3, 1, 2).contiguous() for key, some in stacked.items()}
    save_file(tensors, folder / f"{name}.safetensors")
    return name


def report(accuracies: Sequence[AccuracyComparison], speeds: Sequence[SpeedComparison]) -> None:
    """Both tables."""
    table = Table("method", "data", "ours", "anomalib", "difference", title=f"image AUROC × 100, {SHOTS} shots")
    for one in accuracies:
        table.add_row(
            one.method, one.dataset, f"{one.ours:.1f}", f"{one.anomalib:.1f}", f"{one.ours - one.anomalib:+.1f}"
        )
    Console().print(table)
    table = Table(
        "method", "ours", "anomalib", "times faster", "goal", title="ms an image: clock (processor), fastest turn"
    )
    for speed in speeds:
        table.add_row(
            speed.method,
            f"{speed.ours_ms:.1f} ({speed.ours_processor_ms:.1f})",
            f"{speed.anomalib_ms:.1f} ({speed.anomalib_processor_ms:.1f})",
            f"{speed.ratio:.2f} ({speed.processor_ratio:.2f})",
            f"{speed.goal:.1f}" if speed.goal else "",
        )
    Console().print(table)


def _scoring(detector: Detector, references: References, tested: Sequence[RgbImage]) -> Callable[[int], None]:
    def score(number: int) -> None:
        detector.score([tested[number % len(tested)]], references)

    return score


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.comparison", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders in MVTec layout")
    parser.add_argument("--teacher", type=Path, help="ResNet-18's .npz file; random weights without it")
    parser.add_argument("--environment", type=Path, default=Path(".peers"), help="folder of anomalib's environment")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the shots")
    parser.add_argument("--limit", type=int, default=60, help="at most so many normals and so many anomalies a set")
    parser.add_argument("--rounds", type=int, default=15, help=f"turns of each side, of {IMAGES_PER_TURN} pictures")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of each side")
    parser.add_argument("--without-winclip", action="store_true", help="leave the slow one out")
    parser.add_argument("--quick", action="store_true", help="one draw, 10 + 10 images, 3 rounds, no WinCLIP")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.seeds, asked.limit, asked.rounds, asked.without_winclip = 1, 10, 3, True
    return asked


if __name__ == "__main__":
    sys.exit(main())
