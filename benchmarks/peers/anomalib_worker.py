"""anomalib's side of `benchmarks.peers`, in an environment of its own: it imports nothing of this project.

``python anomalib_worker.py FOLDER THREADS`` reads one request per line, JSON, and answers each with one line of JSON.
FOLDER holds the files that `benchmarks.peers` wrote: weights, and the images of each set as safetensors.
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
    """Replaces the computation of the map, to time the image score alone."""

    def forward(self, patch_scores: torch.Tensor, _size: object = None) -> torch.Tensor:
        """Return the patch scores unchanged."""
        return patch_scores


def normalised(pixels: torch.Tensor, method: str) -> torch.Tensor:
    """Normalise (B, 3, H, W), uint8, for the method's network."""
    mean, deviation = (CLIP_MEAN, CLIP_DEVIATION) if method == "winclip" else (MEAN, DEVIATION)
    return (pixels.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)


def resnet(model: nn.Module, folder: Path) -> None:
    """Load the shared weights into a model's extractor; all names and shapes but layer4's must match."""
    extractor: Any = model.feature_extractor.feature_extractor  # type: ignore[union-attr]
    wanted, given = extractor.state_dict(), load_file(folder / "resnet18.safetensors")
    counters = {name for name in wanted if name.endswith("num_batches_tracked") or name.startswith("layer4")}
    used = {name: tensor for name, tensor in given.items() if name in wanted}
    missing = wanted.keys() - used.keys() - counters
    if missing:
        raise SystemExit(f"The shared weights lack {sorted(missing)}.")
    extractor.load_state_dict(used, strict=False)
    extractor.eval()


def patchcore(folder: Path, normals: torch.Tensor, request: Request) -> nn.Module:
    """Return PatchCore on layers 2 and 3, with a coreset of the requested fraction drawn by seed."""
    torch.manual_seed(request.get("seed", 0))
    model = PatchcoreModel(layers=request["layers"], backbone="resnet18", pre_trained=False)
    resnet(model, folder)
    model.train()
    model.feature_extractor.eval()
    model(normals)
    model.subsample_embedding(request["coreset_ratio"])
    ready: nn.Module = model.eval()
    return ready


def padim(folder: Path, normals: torch.Tensor, request: Request) -> nn.Module:
    """Return PaDiM on layers 1 to 3, on the same channels."""
    model = PadimModel(
        backbone="resnet18", layers=request["layers"], pre_trained=False, n_features=len(request["channels"])
    )
    resnet(model, folder)
    model.idx = torch.tensor(request["channels"])
    model.train()
    model.feature_extractor.eval()
    model(normals)
    model.fit()
    ready: nn.Module = model.eval()
    return ready


def few_shot_winclip(folder: Path, normals: torch.Tensor, request: Request) -> nn.Module:
    """Return WinCLIP with the shared weights in place of those it would download."""
    winclip.PRETRAINED = None
    model: Any = winclip.WinClipModel()
    model.clip.load_state_dict(load_file(folder / "clip.safetensors"))
    model.eval().setup(request["noun"], normals)
    ready: nn.Module = model
    return ready


METHODS = {"patchcore": patchcore, "padim": padim, "winclip": few_shot_winclip}


def respond(folder: Path, request: Request, state: dict[str, Any]) -> Request:
    """Fit on the set's normals, score its images, or time one."""
    method = request["method"]
    images = load_file(folder / f"{request['set']}.safetensors")
    if request["do"] == "fit":
        state["model"] = METHODS[method](folder, normalised(images["normals"], method), request)
        state["makes"] = getattr(state["model"], "anomaly_map_generator", None)
        return {}
    model = state["model"]
    if method == "patchcore":
        model.anomaly_map_generator = state["makes"] if request.get("map", True) else SkipAnomalyMap()
    if request["do"] == "score":
        parts = [model(normalised(one, method)).pred_score for one in torch.split(images["tested"], 4)]
        return {"scores": torch.cat(parts).flatten().tolist()}
    one = images["tested"][request["picture"] % len(images["tested"])][None]
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    model(normalised(one, method))
    return {
        "ms": 1000 * (time.perf_counter() - started_s),
        "processor_ms": 1000 * (time.process_time() - started_cpu_s),
    }


def main() -> None:
    """Answer requests until standard input ends; only the responses go to standard output."""
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    responses, sys.stdout = sys.stdout, sys.stderr
    state: dict[str, Any] = {}
    with torch.inference_mode():
        for line in sys.stdin:
            responses.write(json.dumps(respond(folder, json.loads(line), state)) + "\n")
            responses.flush()


if __name__ == "__main__":
    main()
