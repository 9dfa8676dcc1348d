"""Image AUROC on folders in MVTec layout.

``python -m benchmarks.accuracy --data DIR… --shots 4 [--quick] [--json FILE]`` prints a table.

Shots are drawn from ``train/good`` alone, everything is deterministic given the seeds, and pictures go the worker's
own way: decoded, framed, scored and held against the calibrated threshold.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table

from scorer.calibration import calibrate
from scorer.decode import decode
from scorer.detectors.protocol import Detector, Picture, References
from scorer.detectors.registry import load
from scorer.framing import Framing
from scorer.settings import ScorerSettings
from storage.stations import Framing as FramingKind

QUICK_IMAGES = 60
FALSE_REJECT_RATE = 0.01


@dataclass(frozen=True, slots=True)
class Result:
    """One dataset at one number of shots; AUROC and shares in percent, over all seeds."""

    dataset: str
    shots: int
    auroc: float
    auroc_deviation: float
    flagged_good: float
    caught: float
    milliseconds: float
    log_spread: float


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    settings = ScorerSettings(detector=asked.detector, device=asked.device)
    detector = load(settings, Framing(asked.framing))
    limit = QUICK_IMAGES if asked.quick else None
    results = []
    for folder in asked.data:
        pictures = _Dataset(folder, limit, settings)
        results += [_measured(detector, pictures, shots, asked.seeds) for shots in asked.shots]
    _show(results, f"{asked.detector}, {asked.framing}, {asked.seeds} seeds, model {detector.model_id[:12]}")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


class _Dataset:
    def __init__(self, folder: Path, limit: int | None, settings: ScorerSettings) -> None:
        def read(paths: Sequence[Path]) -> list[Picture]:
            chosen = random.Random(0).sample(paths, min(limit or len(paths), len(paths)))
            return [decode(path.read_bytes(), settings).picture for path in chosen]

        self.name = folder.name
        self._settings = settings
        self._train = sorted((folder / "train" / "good").iterdir())
        defects = sorted(path for path in (folder / "test").iterdir() if path.name != "good")
        self.good = read(sorted((folder / "test" / "good").iterdir()))
        self.bad = read(sorted(path for defect in defects for path in defect.iterdir()))

    def normals(self, shots: int, seed: int) -> list[Picture]:
        chosen = random.Random(seed).sample(self._train, shots)
        return [decode(path.read_bytes(), self._settings).picture for path in chosen]


def _measured(detector: Detector, pictures: _Dataset, shots: int, seeds: int) -> Result:
    aurocs, flagged, caught, spreads, took_s = [], [], [], [], 0.0
    for seed in range(seeds):
        references = detector.references(pictures.normals(shots, seed), "part")
        started_s = time.perf_counter()
        good, bad = (_scores(detector, some, references) for some in (pictures.good, pictures.bad))
        took_s += time.perf_counter() - started_s
        threshold = calibrate(references.normal_scores, FALSE_REJECT_RATE).value
        aurocs.append(100 * auroc(good, bad))
        flagged.append(100 * float((good > threshold).mean()))
        caught.append(100 * float((bad > threshold).mean()))
        spreads.append(float(np.log(good).std()))
    images = seeds * (len(pictures.good) + len(pictures.bad))
    return Result(
        dataset=pictures.name,
        shots=shots,
        auroc=fmean(aurocs),
        auroc_deviation=pstdev(aurocs),
        flagged_good=fmean(flagged),
        caught=fmean(caught),
        milliseconds=1000 * took_s / images,
        log_spread=fmean(spreads),
    )


def _scores(detector: Detector, pictures: Sequence[Picture], references: References) -> npt.NDArray[np.float64]:
    parts = [detector.score(pictures[first : first + 8], references).image for first in range(0, len(pictures), 8)]
    return torch.cat(parts).double().cpu().numpy()


def auroc(good: npt.ArrayLike, bad: npt.ArrayLike) -> float:
    """How often a defect scores above a good part, ties by half."""
    lower, higher = np.asarray(good)[None, :], np.asarray(bad)[:, None]
    return float((higher > lower).mean() + 0.5 * (higher == lower).mean())


def _show(results: Sequence[Result], title: str) -> None:
    table = Table("data", "shots", "AUROC", "good flagged", "defects caught", "ms/image", "log spread", title=title)
    for one in results:
        table.add_row(
            one.dataset,
            str(one.shots),
            f"{one.auroc:.1f} ± {one.auroc_deviation:.1f}",
            f"{one.flagged_good:.1f} %",
            f"{one.caught:.1f} %",
            f"{one.milliseconds:.1f}",
            f"{one.log_spread:.2f}",
        )
    for shots in sorted({one.shots for one in results}):
        some = [one for one in results if one.shots == shots]
        table.add_row("mean", str(shots), f"{fmean(one.auroc for one in some):.1f}", "", "", "", "")
    Console().print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders in MVTec layout")
    parser.add_argument("--shots", type=int, nargs="+", default=[4], help="normals a station has, for example 2 4 8")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the shots")
    parser.add_argument(
        "--quick", action="store_true", help=f"at most {QUICK_IMAGES} good and {QUICK_IMAGES} bad images"
    )
    parser.add_argument("--detector", default="nearest-patch")
    parser.add_argument("--framing", choices=get_args(FramingKind), default="letterbox")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="processor threads")
    parser.add_argument("--json", type=Path, help="file for the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
