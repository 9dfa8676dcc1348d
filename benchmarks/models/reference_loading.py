"""The time to load references from disk: ``python -m benchmarks.models.reference_loading [--json FILE]``.

They are as large as those of nearest patch on `andon-tiny` and of InCTRL on ViT-B-16-plus-240, with 4, 16 and 64
normals. They are loaded as a worker loads them, into an empty cache and with their contents verified; the files are in
the page cache. The exit code is 1 when loading takes more than 50 ms.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from benchmarks.machine import describe_machine
from benchmarks.reporting import report_results
from imaging.quality.picture_quality import PictureLimits, PictureStatistics
from scorer.detectors.protocol import References
from scorer.recipes.reference_store import PreparedNormals, ReferencesKey, ReferenceStore

NORMALS = (4, 16, 64)
GOAL_MS = 50.0
NEAREST_PATCH_SHAPE = (2, 256, 256)
INCTRL_SHAPE = (3, 225, 896)
"""Layers, patches and width of `andon-tiny` and of ViT-B-16-plus-240."""

INCTRL_MAX_PATCHES = 4096
ROUNDS = 9
LIMITS = PictureLimits.from_normals([PictureStatistics(100.0, 40.0, 0.5, 0.0, 0.0, 0.0)])
CPU = torch.device("cpu")


def main() -> None:
    """Measure, print and, with --json, write the results; exit with 1 above the goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.reference_loading", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    rows = [
        {"detector": name, "normals": count, "megabytes": round(size / 1e6, 1), "load_ms": round(1000 * took_s, 1)}
        for count in NORMALS
        for name, references in (("nearest-patch", nearest_patch(count)), ("inctrl", inctrl(count)))
        for size, took_s in time_loading(references)
    ]
    report_results({"goal_ms": GOAL_MS, "rows": rows, "machine": describe_machine()}, options.json)
    raise SystemExit(any(row["load_ms"] > GOAL_MS for row in rows))  # type: ignore[operator]


def nearest_patch(count: int) -> References:
    """Return references as large as nearest patch's."""
    layers, patches, width = NEAREST_PATCH_SHAPE
    valid_mask = torch.ones(count, patches, dtype=torch.bool)
    tensors = {f"layer {layer}": torch.randn(count, patches, width) for layer in range(layers)}
    tensors["valid_mask"] = valid_mask
    return References(
        "nearest-patch", tensors | {"layer_weights": torch.ones(layers), "window": torch.tensor(2)}, (0.5,)
    )


def inctrl(count: int) -> References:
    """Return references as large as InCTRL's, with its bound on the coreset."""
    layers, patches, width = INCTRL_SHAPE
    patches_kept = torch.randn(layers, min(count * patches, INCTRL_MAX_PATCHES), width)
    return References(
        "inctrl", {"patches": patches_kept, "adapted": torch.randn(640), "texts": torch.randn(2, 640)}, (0.5,)
    )


def time_loading(references: References) -> Iterator[tuple[int, float]]:
    """Yield the bytes and the median seconds of loading references."""
    with TemporaryDirectory() as folder:
        key = ReferencesKey(references.model_id, 1, "some")
        ReferenceStore(Path(folder), 0, "cpu").get(key, lambda: PreparedNormals(references, LIMITS))
        took = []
        for _ in range(ROUNDS):
            store = ReferenceStore(Path(folder), 0, "cpu")
            started_s = perf_counter()
            store.get(key, _fail)
            took.append(perf_counter() - started_s)
        yield sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors")), median(took)


def _fail() -> PreparedNormals:
    raise RuntimeError("The references were not found in their folder.")


if __name__ == "__main__":
    main()
