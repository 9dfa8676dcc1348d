"""anomalib's side of `benchmarks.peers.comparison`, run in an environment of its own: it imports nothing of this
project.

`python peers_anomalib.py FOLDER THREADS` reads one request a line, JSON, and answers each with one line of JSON.
FOLDER holds what `benchmarks.peers.comparison` put there: weights, and the pictures of each set as safetensors.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from anomalib.models.image.padim.torch_model import PadimModel  # type: ignore[import-not-found]
from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # type: ignore[import-not-found]
from anomalib.models.image.winclip import torch_model as winclip  # type: ignore[import-not-found]
from safetensors.torch import load_file
from torch import nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

Request = dict[str, Any]


class SkipAnomalyMap(nn.Module):
    """In place of a map's making: what the image score alone costs."""

    def forward(self, patch_scores: torch.Tensor, _size: object = None) -> torch.Tensor:
        return patch_scores


def normalised(pixels: torch.Tensor, method: str) -> torch.Tensor:
    """(B, 3, H, W) uint8 as the method's network takes it."""
    mean, deviation = (CLIP_MEAN, CLIP_DEVIATION) if method == "winclip" else (MEAN, DEVIATION)
    return (pixels.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)


def resnet(model: nn.Module, folder: Path) -> None:
    """Give a model's extractor the shared weights; names and shapes must fit one by one, layer4 apart."""
    extractor: Any = model.feature_extractor.feature_extractor  # type: ignore[union-attr]
    wanted, given = extractor.state_dict(), load_file(folder / "resnet18.safetensors")
    counters = {name for name in wanted if name.endswith("num_batches_tracked") or name.startswith("layer4")}
    used = {name: tensor for name, tensor in given.items() if name in wanted}
    missing = wanted.keys() - used.keys() - counters
    if missing:
        raise SystemExit(f"The shared weights lack {sorted(missing)}.")
    extractor.load_state_dict(used, strict=False)
    extractor.eval()


def patchcore(folder: Path, normals: torch.Tensor, asked: Request) -> nn.Module:
    """PatchCore on layers 2 and 3, its coreset of the asked share drawn by seed."""
    torch.manual_seed(asked.get("seed", 0))
    model = PatchcoreModel(layers=asked["layers"], backbone="resnet18", pre_trained=False)
    resnet(model, folder)
    model.train()
    model.feature_extractor.eval()
    model(normals)
    model.subsample_embedding(asked["share"])
    ready: nn.Module = model.eval()
    return ready


def padim(folder: Path, normals: torch.Tensor, asked: Request) -> nn.Module:
    """PaDiM on layers 1 to 3, on the same channels."""
    model = PadimModel(
        backbone="resnet18", layers=asked["layers"], pre_trained=False, n_features=len(asked["channels"])
    )
    resnet(model, folder)
    model.idx = torch.tensor(asked["channels"])
    model.train()
    model.feature_extractor.eval()
    model(normals)
    model.fit()
    ready: nn.Module = model.eval()
    return ready


def few_shot_winclip(folder: Path, normals: torch.Tensor, asked: Request) -> nn.Module:
    """WinCLIP with the shared weights in place of those it would fetch."""
    winclip.PRETRAINED = None
    model: Any = winclip.WinClipModel()
    model.clip.load_state_dict(load_file(folder / "clip.safetensors"))
    model.eval().setup(asked["noun"], normals)
    ready: nn.Module = model
    return ready


METHODS = {"patchcore": patchcore, "padim": padim, "winclip": few_shot_winclip}


def answer(folder: Path, asked: Request, kept: dict[str, Any]) -> Request:
    """Fit on the set's normals, or score its pictures, or take the time of one."""
    method = asked["method"]
    pictures = load_file(folder / f"{asked['set']}.safetensors")
    if asked["do"] == "fit":
        kept["model"] = METHODS[method](folder, normalised(pictures["normals"], method), asked)
        kept["makes"] = getattr(kept["model"], "anomaly_map_generator", None)
        return {}
    model = kept["model"]
    if method == "patchcore":
        model.anomaly_map_generator = kept["makes"] if asked.get("map", True) else SkipAnomalyMap()
    if asked["do"] == "score":
        parts = [model(normalised(one, method)).pred_score for one in torch.split(pictures["tested"], 4)]
        return {"scores": torch.cat(parts).flatten().tolist()}
    one = pictures["tested"][asked["picture"] % len(pictures["tested"])][None]
    begun, worked = time.perf_counter(), time.process_time()
    model(normalised(one, method))
    return {"ms": 1000 * (time.perf_counter() - begun), "processor_ms": 1000 * (time.process_time() - worked)}


def main() -> None:
    """Answer until there are no more requests; only answers go to standard output."""
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    answers, sys.stdout = sys.stdout, sys.stderr
    kept: dict[str, Any] = {}
    with torch.inference_mode():
        for line in sys.stdin:
            answers.write(json.dumps(answer(folder, json.loads(line), kept)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
