"""Image AUROC of both sides on the same shots."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.peers.anomalib_process import Anomalib
from benchmarks.peers.dataset import NOUN, PeerDataset, write_images
from benchmarks.peers.methods import anomalib_options, build_detectors
from scorer.backbones.teacher_networks import WeightArrays
from scorer.evaluation.metrics import auroc


@dataclass(frozen=True, slots=True)
class AccuracyComparison:
    """Image AUROC × 100 of a method on a dataset, mean over the draws."""

    method: str
    dataset: str
    ours: float
    anomalib: float


def compare_accuracy(
    dataset: PeerDataset, arrays: WeightArrays, anomalib: Anomalib, folder: Path, seeds: int
) -> list[AccuracyComparison]:
    """Return the AUROC of both methods on both sides, on the same shots."""
    by_method: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        normals = dataset.normals(seed)
        request = {"set": write_images(folder, dataset.name, normals, dataset.tested), "seed": seed}
        for method, detector in build_detectors(arrays).items():
            references = detector.references(normals, NOUN)
            our_scores = [detector.score([image], references).image_scores.item() for image in dataset.tested]
            method_request = request | anomalib_options(method, references)
            anomalib.ask(method_request | {"do": "fit"})
            their_scores = anomalib.ask(method_request | {"do": "score"})["scores"]
            ours, theirs = (
                100 * auroc(scores[: dataset.good], scores[dataset.good :]) for scores in (our_scores, their_scores)
            )
            by_method.setdefault(method, []).append((ours, theirs))
    means = {method: [fmean(side) for side in zip(*draws, strict=True)] for method, draws in by_method.items()}
    return [AccuracyComparison(method, dataset.name, *both) for method, both in means.items()]
