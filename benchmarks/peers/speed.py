"""Milliseconds per image of both sides, taken in turns."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.peers.anomalib_process import Anomalib
from benchmarks.peers.dataset import NOUN, STRETCH, PeerDataset, write_images
from benchmarks.peers.methods import CPU, anomalib_options, build_detectors, worker_settings
from imaging.rgb import RgbImage
from scorer.backbones.clip_architecture import build_network, find_architecture, image_size_of
from scorer.backbones.clip_loader import LoadedClip
from scorer.backbones.image_resize import frame_image
from scorer.backbones.openclip import OpenClip
from scorer.backbones.teacher_networks import WeightArrays
from scorer.backbones.weights.store import StoredWeights, WeightsCard
from scorer.detectors.clip.winclip import WinClip, WinClipModel
from scorer.detectors.protocol import Detector, References
from scorer.detectors.whole_image import WholeImageDetector
from scorer.engines.precision import Precision

CLIP = "ViT-B-16-plus-240"
TORCH_IN_FP32 = ", torch in fp32"

IMAGES_PER_TURN = 4
"""Images of one side in a row, because the first may wait for threads of the other side that still spin."""

GOALS = {"patchcore": 2.5, "winclip": 1.3}
"""How many times faster than anomalib a method is to be."""


@dataclass(frozen=True, slots=True)
class SpeedComparison:
    """Milliseconds per image, one at a time, of the fastest turn.

    Wall time has the suffix ``ms`` and CPU time ``processor_ms``, which other load changes less. Ratios are anomalib's
    time by ours.
    """

    method: str
    ours_ms: float
    anomalib_ms: float
    ours_processor_ms: float
    anomalib_processor_ms: float
    ratio: float
    processor_ratio: float
    goal: float | None


def time_patch_methods(
    dataset: PeerDataset, arrays: WeightArrays, anomalib: Anomalib, folder: Path, rounds: int
) -> Iterator[SpeedComparison]:
    """Time both methods; PatchCore also without anomalib's smoothed full-size map, which ours does not compute."""
    normals = dataset.normals(0)
    request = {"set": write_images(folder, dataset.name, normals, dataset.tested), "seed": 0}
    as_a_worker = build_detectors(arrays, worker_settings(folder))
    for method, detector in build_detectors(arrays).items():
        references = detector.references(normals, NOUN)
        method_request = request | anomalib_options(method, references)
        anomalib.ask(method_request | {"do": "fit"})
        fast_detector = as_a_worker[method]
        score_fast = _scorer(fast_detector, fast_detector.references(normals, NOUN), dataset.tested)
        score_in_fp32 = _scorer(detector, references, dataset.tested)
        yield time_in_turns(method, score_fast, anomalib, method_request, rounds)
        yield time_in_turns(f"{method}{TORCH_IN_FP32}", score_in_fp32, anomalib, method_request, rounds)
        if method == "patchcore":
            without_map = method_request | {"map": False}
            yield time_in_turns("patchcore, anomalib without its map", score_fast, anomalib, without_map, rounds)


def time_winclip(dataset: PeerDataset, anomalib: Anomalib, folder: Path, rounds: int) -> Iterator[SpeedComparison]:
    """Time WinCLIP with 4 shots; both sides have the same random weights."""
    torch.manual_seed(0)
    architecture = find_architecture(CLIP)
    network = build_network(architecture)
    path = folder / "clip.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    card = WeightsCard("openclip", CLIP, "random", source="here", contents="random")
    stored = StoredWeights(path, card, "random", 0)
    normals, tested = (
        [frame_image(STRETCH, image, image_size_of(network)) for image in images]
        for images in (dataset.normals(0), dataset.tested[:4])
    )
    request = {"method": "winclip", "set": write_images(folder, "winclip", normals, tested), "noun": NOUN}
    anomalib.ask(request | {"do": "fit"})
    precisions: dict[str, Precision] = {"winclip": "auto", f"winclip{TORCH_IN_FP32}": "fp32"}
    for name, precision in precisions.items():
        towers = OpenClip(deepcopy(network), architecture, CPU, precision)
        detector = WholeImageDetector(WinClip(WinClipModel(LoadedClip(towers, stored))), STRETCH)
        score = _scorer(detector, detector.references(normals, NOUN), tested)
        yield time_in_turns(name, score, anomalib, request, rounds)


def time_in_turns(
    name: str, score: Callable[[int], None], anomalib: Anomalib, request: Mapping[str, Any], rounds: int
) -> SpeedComparison:
    """Time `IMAGES_PER_TURN` images of ours, then of anomalib's, and so on, so that other load affects both alike."""
    ours, theirs = [], []
    for number in range(rounds * IMAGES_PER_TURN):
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        score(number)
        ours.append((1000 * (time.perf_counter() - started_s), 1000 * (time.process_time() - started_cpu_s)))
        if number % IMAGES_PER_TURN == IMAGES_PER_TURN - 1:
            answers = [anomalib.ask({**request, "do": "time", "picture": index}) for index in range(IMAGES_PER_TURN)]
            theirs += [(answer["ms"], answer["processor_ms"]) for answer in answers]
    our_wall, our_cpu = zip(*ours, strict=True)
    their_wall, their_cpu = zip(*theirs, strict=True)
    fastest = min(our_wall), min(their_wall), min(our_cpu), min(their_cpu)
    ratios = fastest[1] / fastest[0], fastest[3] / fastest[2]
    return SpeedComparison(name, *fastest, *ratios, GOALS.get(name))


def _scorer(detector: Detector, references: References, tested: Sequence[RgbImage]) -> Callable[[int], None]:
    def score(number: int) -> None:
        detector.score([tested[number % len(tested)]], references)

    return score
