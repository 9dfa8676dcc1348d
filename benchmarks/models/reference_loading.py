"""How long a normal set's references take to come out of their folder: `python -m benchmarks.models.reference_loading
[--json FILE]`.

As large as nearest patch keeps on `andon-tiny` and InCTRL on ViT-B-16-plus-240, with 4, 16 and 64 normals; each as a
worker loads it, into an empty memory, its contents checked. The files lie in the page cache. Exit 1 above 50 ms.
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
from scorer.detectors.protocol import References
from scorer.recipes.reference_store import ReferencesKey, ReferenceStore

NORMALS = (4, 16, 64)
GOAL_MS = 50.0
NEAREST_PATCH_SHAPE = (2, 256, 256)
INCTRL_SHAPE = (3, 225, 896)
"""Layers, patches and width of `andon-tiny` and of ViT-B-16-plus-240."""

INCTRL_MOST_PATCHES = 4096
ROUNDS = 9
CPU = torch.device("cpu")


def main() -> None:
    """Measure, print and write; exit 1 above the goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.reference_loading", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    rows = [
        {"detector": name, "normals": count, "megabytes": round(size / 1e6, 1), "load_ms": round(1000 * took_s, 1)}
        for count in NORMALS
        for name, references in (("nearest-patch", nearest_patch(count)), ("inctrl", inctrl(count)))
        for size, took_s in measured(references)
    ]
    report_results({"goal_ms": GOAL_MS, "rows": rows, "machine": describe_machine()}, asked.json)
    raise SystemExit(any(row["load_ms"] > GOAL_MS for row in rows))  # type: ignore[operator]


def nearest_patch(count: int) -> References:
    """As large as nearest patch's are."""
    layers, patches, width = NEAREST_PATCH_SHAPE
    valid_mask = torch.ones(count, patches, dtype=torch.bool)
    tensors = {f"layer {layer}": torch.randn(count, patches, width) for layer in range(layers)}
    tensors["valid_mask"] = valid_mask
    return References(
        "nearest-patch", tensors | {"layer_weights": torch.ones(layers), "window": torch.tensor(2)}, (0.5,)
    )


def inctrl(count: int) -> References:
    """As large as InCTRL's are, its coreset's bound included."""
    layers, patches, width = INCTRL_SHAPE
    kept = torch.randn(layers, min(count * patches, INCTRL_MOST_PATCHES), width)
    return References("inctrl", {"patches": kept, "adapted": torch.randn(640), "texts": torch.randn(2, 640)}, (0.5,))


def measured(references: References) -> Iterator[tuple[int, float]]:
    """(bytes, seconds) of one normal set."""
    with TemporaryDirectory() as folder:
        key = ReferencesKey(references.model_id, 1, "some")
        ReferenceStore(Path(folder), 0, "cpu").get(key, lambda: references)
        took = []
        for _ in range(ROUNDS):
            store = ReferenceStore(Path(folder), 0, "cpu")
            began_s = perf_counter()
            store.get(key, _must_not_compute)
            took.append(perf_counter() - began_s)
        yield sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors")), median(took)


def _must_not_compute() -> References:
    raise RuntimeError("the references were not found in their folder")


if __name__ == "__main__":
    main()
