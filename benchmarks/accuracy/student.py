"""Evaluate `andon-tiny` against its two teachers, with one nearest-patch rule on five real datasets.

`python -m benchmarks.accuracy.student --data DIR --teachers DIR [--json FILE]` prints image AUROC × 100 at 2, 4 and 8
shots,
the student's share of the teachers', and milliseconds per image of each network, timed in turns in one run.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from scorer.backbones.teacher_networks import MobilenetTeacher, ResnetTeacher, load_teachers
from scorer.backbones.tiny import WEIGHTS, TinyNetwork, load_tiny

SETS = ("elpv", "magnetic_tile", "brainmri", "aliens", "kolektor_sdd")
SHOTS = (2, 4, 8)
SIDE = 256
TOP_SHARE = 0.03

Network = Callable[[torch.Tensor], Sequence[torch.Tensor]]
"""Maps images (B, 3, 256, 256) in [0, 1] to one token map (B, P, depth) for each of its outputs."""


@dataclass(frozen=True, slots=True)
class TestSplit:
    """One set's images: the normals that shots are drawn from, and the test images (1 is an anomaly)."""

    pool: list[Path]
    tested: list[Path]
    labels: npt.NDArray[np.int64]


def read_split(folder: Path, limit: int, seed: int = 0) -> TestSplit:
    """List a set in MVTec layout with at most `limit` normals and `limit` anomalies for testing, drawn by `seed`."""
    draw = np.random.default_rng(seed)

    def subset(paths: Iterator[Path]) -> list[Path]:
        listed = sorted(path for path in paths if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp"})
        return [listed[i] for i in sorted(draw.permutation(len(listed))[:limit])]

    good = subset((folder / "test" / "good").iterdir())
    bad = subset(path for path in (folder / "test").glob("*/*") if path.parent.name != "good")
    pool = sorted((folder / "train" / "good").iterdir())
    return TestSplit(pool, good + bad, np.array([0] * len(good) + [1] * len(bad)))


def read_images(paths: Sequence[Path]) -> torch.Tensor:
    """Read images stretched to 256 × 256, (N, 3, 256, 256), uint8."""
    images = []
    for path in paths:
        with Image.open(path) as opened:
            squared = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        images.append(torch.from_numpy(np.array(squared)).permute(2, 0, 1))
    return torch.stack(images)


@torch.inference_mode()
def tokens_of(network: Network, images: torch.Tensor, batch: int = 8) -> list[torch.Tensor]:
    """Return unit tokens (N, P, depth) of every output of a network."""
    parts = [
        network(chunk.float().div(255).contiguous(memory_format=torch.channels_last))
        for chunk in torch.split(images, batch)
    ]
    return [functional.normalize(torch.cat(output), dim=-1) for output in zip(*parts, strict=True)]


def distances(queries: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Return the cosine distance of each query patch to its nearest normal patch: (N, P, D), (K, P, D) to (N, P)."""
    return 1 - (queries @ normals.flatten(0, 1).T).amax(-1)


def level(normals: torch.Tensor) -> float:
    """Return the mean patch distance of each normal against the others."""
    leave_one_out = [
        distances(normals[k : k + 1], torch.cat([normals[:k], normals[k + 1 :]])) for k in range(len(normals))
    ]
    return float(torch.cat(leave_one_out).mean())


def top_mean(maps: torch.Tensor) -> npt.NDArray[np.float32]:
    """Return the mean of the largest 3 % of each map: (N, P) to (N,)."""
    count = max(1, round(TOP_SHARE * maps.shape[-1]))
    scores: npt.NDArray[np.float32] = maps.topk(count, dim=-1).values.mean(-1).numpy()
    return scores


def auroc(scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Return the probability that an anomaly scores above a normal; ties count half."""
    normal, anomalous = scores[labels == 0], scores[labels == 1]
    difference = anomalous[:, None] - normal[None]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


@torch.inference_mode()
def measure(
    pool: Sequence[torch.Tensor], tested: Sequence[torch.Tensor], labels: npt.NDArray[np.int64], draws: int
) -> dict[int, list[list[float]]]:
    """Return AUROC by shots and draw: one for each output and, if there are two, one for their sum."""
    result: dict[int, list[list[float]]] = {}
    for shots in SHOTS:
        result[shots] = []
        for draw in range(draws):
            chosen = np.random.default_rng([draw, shots]).permutation(len(pool[0]))[:shots]
            normals = [tokens[chosen] for tokens in pool]
            maps = [distances(tokens, normal) for tokens, normal in zip(tested, normals, strict=True)]
            if len(maps) > 1:
                maps.append(sum(m / level(n) for m, n in zip(maps, normals, strict=True)))  # type: ignore[arg-type]
            result[shots].append([auroc(top_mean(one), labels) for one in maps])
    return result


def time_networks(networks: dict[str, Network], rounds: int = 40) -> dict[str, float]:
    """Return milliseconds per image of each network at batch 1: the fastest of rounds in turns."""
    image = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    took: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for _ in range(rounds):
            for name, network in networks.items():
                started_s = time.perf_counter()
                network(image)
                took[name].append(1000 * (time.perf_counter() - started_s))
    return {name: min(times) for name, times in took.items()}


def _flat(maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [one.flatten(2).transpose(1, 2) for one in maps]


@dataclass(frozen=True, slots=True)
class StudentComparison:
    """One set's AUROC × 100, (shots, 3): first output, second output, sum; of the teachers and of the student."""

    name: str
    teachers: npt.NDArray[np.float64]
    student: npt.NDArray[np.float64]


def compare(
    folder: Path, teachers: tuple[ResnetTeacher, MobilenetTeacher], student: TinyNetwork, limit: int, draws: int
) -> StudentComparison:
    """Score one set with the teachers and with the student on the same images and the same shots."""
    split = read_split(folder, limit)
    pool, tested = read_images(split.pool), read_images(split.tested)
    networks: tuple[Network, ...] = (lambda x: _flat([teacher(x) for teacher in teachers]), lambda x: _flat(student(x)))
    means = []
    for network in networks:
        by_shots = measure(tokens_of(network, pool), tokens_of(network, tested), split.labels, draws)
        means.append(100 * np.array([np.mean(by_shots[shots], axis=0) for shots in SHOTS]))
    return StudentComparison(folder.name, means[0], means[1])


def report(comparisons: Sequence[StudentComparison]) -> Iterator[str]:
    """Yield the lines of the table: shots in rows, teacher and student side by side, for each dataset and the mean."""
    yield f"{'set':16}{'shots':>6}" + "".join(f"{name:>26}" for name in ("ResNet-18", "MobileNetV2", "both maps"))
    yield " " * 22 + f"{'teacher':>13}{'student':>13}" * 3
    mean = StudentComparison(
        "mean", *(np.mean([getattr(f, who) for f in comparisons], axis=0) for who in ("teachers", "student"))
    )
    for one in (*comparisons, mean):
        for row, shots in enumerate(SHOTS):
            pairs = zip(one.teachers[row], one.student[row], strict=True)
            yield f"{one.name:16}{shots:6}" + "".join(f"{teacher:13.1f}{student:13.1f}" for teacher, student in pairs)
    at_four = SHOTS.index(4)
    first, _, both = mean.student[at_four] / mean.teachers[at_four, 0]
    yield f"at 4 shots the student has {both:.3f} of the ResNet-18 teacher's AUROC, its first output alone {first:.3f}"


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.student", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"the folder with {', '.join(SETS)}")
    parser.add_argument("--teachers", type=Path, required=True, help="the folder with both teachers' .npz files")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the student's safetensors (the packaged ones)")
    parser.add_argument("--draws", type=int, default=5, help="draws of the shots")
    parser.add_argument("--limit", type=int, default=150, help="the most normals and the most anomalies per dataset")
    parser.add_argument("--threads", type=int, default=2, help="cores")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    teachers = load_teachers(options.teachers)
    student = load_tiny("cpu", options.weights, expected=None).network
    took = time_networks({"ResNet-18": teachers[0], "MobileNetV2": teachers[1], "andon-tiny": student})
    print("milliseconds per image: " + ", ".join(f"{name} {ms:.1f}" for name, ms in took.items()))
    comparisons = []
    for name in SETS:
        comparisons.append(compare(options.data / name, teachers, student, options.limit, options.draws))
        print(f"{name}: done", flush=True)
    print("\n".join(report(comparisons)))
    if options.json:
        sets = {f.name: {"teachers": f.teachers.tolist(), "student": f.student.tolist()} for f in comparisons}
        options.json.write_text(
            json.dumps({"shots": SHOTS, "sets": sets, "milliseconds": took, "threads": options.threads}, indent=1)
        )


if __name__ == "__main__":
    main()
