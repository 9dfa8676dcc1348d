"""PatchCore and PaDiM of this project, on the layers and with the options that anomalib's have."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.dataset import STRETCH
from benchmarks.peers.resnet_backbone import SIDE_PX, ResnetBackbone
from scorer.backbones.teacher_networks import WeightArrays
from scorer.detectors.padim import Padim
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.patch_based.method import PatchMethod
from scorer.detectors.patchcore import CORESET_RATIO, NEIGHBOURHOOD, PatchCore
from scorer.detectors.protocol import References
from scorer.engines.measurements import EngineConfig
from scorer.engines.selection import engine_options, select_engine
from scorer.settings import ScorerSettings

CPU = torch.device("cpu")

LAYERS = {"patchcore": (2, 3), "padim": (1, 2, 3)}
INTERPOLATION_MODES = {"patchcore": "bilinear", "padim": "nearest"}
"""The layers of each method in anomalib, and how coarser ones are brought to the grid of the first one."""

WIDTH = 256
OFFSETS = {1: 0, 2: 64, 3: 192}
"""The channels of a layer in our concatenation, padded with zeros, and the first channel of a layer in anomalib's."""

FP32_SETTINGS = ScorerSettings(device="cpu", engine="torch", precision="fp32")


def build_detectors(arrays: WeightArrays, settings: ScorerSettings = FP32_SETTINGS) -> dict[str, PatchDetector]:
    """Return both methods on the layers that anomalib uses, computed as in the settings."""
    methods: dict[str, tuple[PatchMethod, int]] = {
        "patchcore": (PatchCore(neighbourhood=1), NEIGHBOURHOOD),
        "padim": (Padim(), 1),
    }
    return {
        name: PatchDetector(method, load_layers(arrays, name, neighbourhood, settings), STRETCH)
        for name, (method, neighbourhood) in methods.items()
    }


def load_layers(arrays: WeightArrays, method: str, neighbourhood: int, settings: ScorerSettings) -> ResnetBackbone:
    """Return ResNet-18's layers for a method, on the engine that the settings name or a measurement chooses."""
    options = engine_options(settings, f"resnet18 for {method}", "")

    def build(engine: EngineConfig) -> ResnetBackbone:
        return ResnetBackbone(arrays, LAYERS[method], INTERPOLATION_MODES[method], neighbourhood, engine, options)

    size = SIDE_PX, SIDE_PX
    return build(select_engine(settings, CPU, f"resnet18 for {method}", "", size, lambda engine: build(engine).tokens))


def anomalib_options(method: str, references: References) -> dict[str, Any]:
    """Return the options for the same in anomalib: layers, and the coreset's fraction or the selected channels."""
    options = {"method": method, "layers": [f"layer{layer}" for layer in LAYERS[method]]}
    if method == "patchcore":
        return options | {"coreset_ratio": CORESET_RATIO}
    channels = references.tensors["channels"].tolist()
    return options | {"channels": [OFFSETS[LAYERS[method][index // WIDTH]] + index % WIDTH for index in channels]}


def worker_settings(folder: Path) -> ScorerSettings:
    """Return settings of a worker: engine and precision by measurement, for one call at a time on all threads."""
    return ScorerSettings(
        device="cpu", score_threads=1, torch_threads=torch.get_num_threads(), engines_path=folder / "engines"
    )
