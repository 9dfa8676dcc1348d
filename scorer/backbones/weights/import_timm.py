"""Import a timm vision transformer's checkpoint into the weights folder, and find its repository on the hub."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scorer.backbones.timm_vit import build_timm
from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore, content_hash, read_card
from scorer.errors import InvalidWeights, ModelUnavailable


def import_timm(
    folder: WeightsStore, path: Path, name: str, tag: str | None = None, source: str | None = None
) -> StoredWeights:
    """Check a file as the weights of timm's ``MODEL.TAG`` and store it, under another tag where one is given.

    Raises `InvalidWeights` naming missing, unexpected and wrongly sized tensors, and then stores nothing.
    """
    name = name.removeprefix("timm/")
    network: Any = build_timm(name, on_no_device=True)
    card = read_card(path) if path.suffix == ".safetensors" and path.is_file() else None
    if card is not None and card.kind != "timm":
        raise InvalidWeights(f"{path} is {card.name}, no weights of timm's {name}; import it without --timm.")
    tensors = checkpoints.read_checkpoint(path)
    try:
        tensors = _in_current_names(network, tensors)
    except Exception as error:  # timm's renaming of a file of some other model may raise anything
        raise InvalidWeights(f"{path} holds no weights of timm's {name} that timm knows how to read.") from error
    checkpoints.check_state_dict(network.state_dict(), tensors, f"{path} as timm's {name}")
    pretrained: Mapping[str, Any] = network.pretrained_cfg
    new_card = WeightsCard(
        kind="timm",
        model=name.partition(".")[0],
        tag=tag or name.partition(".")[2] or pretrained.get("tag") or "imported",
        source=source or path.name,
        contents=content_hash(tensors),
        config={"timm": name},
        mean=tuple(pretrained["mean"]),
        std=tuple(pretrained["std"]),
    )
    return folder.put(new_card, tensors)


def repository_of(name: str) -> str:
    """Return the hub's repository of timm's ``MODEL.TAG``; raises `ModelUnavailable` where the hub has none."""
    network: Any = build_timm(name, on_no_device=True)
    repository = network.pretrained_cfg.get("hf_hub_id")
    if not repository:
        raise ModelUnavailable(
            f"The hub has no weights of timm's {name}; get a checkpoint of it and run andon weights import FILE --timm "
            f"{name}."
        )
    return str(repository)


def _in_current_names(network: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename a checkpoint of the model's authors as timm's own loader does; one in timm's names stays as it is."""
    known = network.state_dict().keys()
    rename = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if rename is None or tensors.keys() == known or len(tensors.keys() & known) > len(known) / 2:
        return tensors
    renamed: dict[str, torch.Tensor] = rename(dict(tensors), network)
    return renamed
