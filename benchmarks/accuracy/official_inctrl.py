"""Compare InCTRL with official outputs: ``python -m benchmarks.accuracy.official_inctrl DIR [--json FILE]``.

DIR holds model_config.json (an OpenCLIP configuration), checkpoint.pyth (a state dict in the official format),
cases.json (category, shots and queries of each case) and cases.safetensors (for each case normals and queries as uint8
RGB at the model's size, and the six outputs). The exit code is 1 above 1e-4, and 2 if DIR cannot be read.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from scorer.backbones.clip_architecture import Architecture
from scorer.backbones.openclip import OpenClip
from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.import_openclip import split_official
from scorer.detectors.inctrl.heads import InCtrlHeads
from scorer.detectors.inctrl.model import InCtrlModel, NormalContext
from scorer.errors import ScorerError

TOLERANCE = 1e-4
OUTPUTS = (
    "score",
    "text_score",
    "image_residual_score",
    "patch_residual_map",
    "holistic_score",
    "max_patch_residual",
)
Readings = dict[str, torch.Tensor]


def main(arguments: list[str] | None = None) -> int:
    """Print the largest absolute difference of every output; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.official_inctrl", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the differences")
    options = parser.parse_args(arguments)
    try:
        differences = differences_of(options.folder)
    except (OSError, ValueError, KeyError, ScorerError) as error:
        print(f"golden: {options.folder} can't be compared: {error}", file=sys.stderr)
        return 2
    print(f"{'output':<22} {'one by one':>12} {'one batch':>12}")
    for output, of_output in differences.items():
        print(f"{output:<22} {of_output['single']:>12.3e} {of_output['batch']:>12.3e}")
    holds = all(value <= TOLERANCE for of_output in differences.values() for value in of_output.values())
    print(f"{'holds' if holds else 'DOES NOT HOLD'} within {TOLERANCE:g}")
    if options.json is not None:
        result = {"folder": str(options.folder), "tolerance": TOLERANCE, "holds": holds, "differences": differences}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if holds else 1


def differences_of(folder: Path) -> dict[str, dict[str, float]]:
    """Return per output the largest absolute difference over all cases, ``single`` and ``batch``; inf for NaN."""
    model = official_model(folder)
    tensors = load_file(folder / "cases.safetensors")
    largest = {output: {"single": 0.0, "batch": 0.0} for output in OUTPUTS}
    for case in json.loads((folder / "cases.json").read_text()):
        name = f"case{case['case']}"
        context = model.context(model.encode(tensors[f"{name}.normals"]), case["category"])
        for mode, readings in _one_by_one_and_batched(model, tensors[f"{name}.queries"], context).items():
            for output, values in readings.items():
                found = _difference(values, tensors[f"{name}.{output}"])
                largest[output][mode] = max(largest[output][mode], found)
    return largest


def official_model(folder: Path) -> InCtrlModel:
    """Return the model of a folder of official outputs, on the CPU in fp32."""
    config: Mapping[str, Any] = json.loads((folder / "model_config.json").read_text())
    tower, learned = split_official(checkpoints.read_checkpoint(folder / "checkpoint.pyth"))
    description = str(folder / "checkpoint.pyth")
    backbone = OpenClip.of(Architecture("of this folder", config), tower, description, torch.device("cpu"), "fp32")
    rows, columns = backbone.grid
    heads = InCtrlHeads(backbone.embedding_width, rows * columns)
    checkpoints.load_into(heads, learned, description)
    return InCtrlModel(backbone, heads)


def _one_by_one_and_batched(model: InCtrlModel, queries: torch.Tensor, context: NormalContext) -> dict[str, Readings]:
    singles = [_outputs(model, query[None], context) for query in queries]
    return {
        "single": {output: torch.cat([single[output] for single in singles]) for output in OUTPUTS},
        "batch": _outputs(model, queries, context),
    }


def _outputs(model: InCtrlModel, pixels: torch.Tensor, context: NormalContext) -> Readings:
    reading = model.score(model.encode(pixels), context)
    return {output: getattr(reading, output) for output in OUTPUTS}


def _difference(actual: torch.Tensor, official: torch.Tensor) -> float:
    if actual.shape != official.shape:
        raise ValueError(f"An output has shape {tuple(actual.shape)} here and {tuple(official.shape)} in the folder")
    difference = float((actual - official).abs().max())
    return float("inf") if math.isnan(difference) else difference


if __name__ == "__main__":
    sys.exit(main())
