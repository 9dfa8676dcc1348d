"""WinCLIP's scores by plain loops over patches and windows, with OpenCLIP's own modules, and a CLIP for them."""

from collections.abc import Callable
from typing import Protocol, cast

import numpy as np
import torch

from scorer.backbones.clip_architecture import Architecture, build_network
from scorer.backbones.openclip import OpenClip
from scorer.detectors.clip.prompts import prompt_ensemble
from scorer.detectors.clip.winclip import WinClipModel
from tests.scorer.backbones.tiny_clip import CONFIG

CPU = torch.device("cpu")


CONFIG_4_BY_5 = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": [32, 40]}}
"""A configuration with a grid of 4 × 5, the smallest with several rows and columns of windows of 3 × 3."""


def backbone_4_by_5(seed: int = 0) -> OpenClip:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        architecture = Architecture("tiny", CONFIG_4_BY_5)
        network = build_network(architecture)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return OpenClip(network, architecture, CPU, "fp32")


class OpenClipImageTower(Protocol):
    """The layers and weights of OpenCLIP's image tower."""

    conv1: Callable[[torch.Tensor], torch.Tensor]
    ln_pre: Callable[[torch.Tensor], torch.Tensor]
    transformer: Callable[[torch.Tensor], torch.Tensor]
    ln_post: Callable[[torch.Tensor], torch.Tensor]
    class_embedding: torch.Tensor
    positional_embedding: torch.Tensor
    proj: torch.Tensor


def image_tower(backbone: OpenClip) -> OpenClipImageTower:
    return cast("OpenClipImageTower", backbone.network.visual)


@torch.no_grad()
def window_embedding_by_hand(backbone: OpenClip, image: torch.Tensor, rows: range, columns: range) -> torch.Tensor:
    """Embed one window with OpenCLIP's own modules: only the class token and the window's tokens enter the blocks."""
    visual = image_tower(backbone)
    tokens = visual.conv1(backbone.normalised(image[None]))[0]  # (W, rows, columns)
    positions = visual.positional_embedding
    cells = [(row, column) for row in rows for column in columns]
    window = [tokens[:, row, column] + positions[1 + row * backbone.grid[1] + column] for row, column in cells]
    states = visual.transformer(visual.ln_pre(torch.stack([visual.class_embedding + positions[0], *window]))[None])
    return visual.ln_post(states[0, 0]) @ visual.proj


def scores_by_hand(
    model: WinClipModel, query: torch.Tensor, normals: torch.Tensor, noun: str
) -> tuple[float, np.ndarray]:
    """Return the paper's scores of an image, computed patch by patch and window by window in float64."""
    backbone, (rows, columns) = model.towers, model.towers.grid
    prompts = prompt_ensemble(noun)
    texts = [backbone.encode_texts(side).double().mean(dim=0).numpy() for side in (prompts.normal, prompts.anomaly)]

    def cosine(first: np.ndarray, second: np.ndarray) -> float:
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))

    def text_score(embedding: np.ndarray) -> float:
        normal, anomaly = (np.exp(cosine(embedding, text) / 0.07) for text in texts)
        return float(anomaly / (normal + anomaly))

    def windows_of(image: torch.Tensor, side: int) -> dict[tuple[int, int], np.ndarray]:
        return {
            (row, column): window_embedding_by_hand(
                backbone, image, range(row, row + side), range(column, column + side)
            )
            .double()
            .numpy()
            for row in range(rows - side + 1)
            for column in range(columns - side + 1)
        }

    def patches_of(image: torch.Tensor) -> np.ndarray:
        tokens = backbone.encode_images(backbone.normalised(image[None]), (backbone.blocks,)).tokens[0, 0]
        normalised: np.ndarray = image_tower(backbone).ln_post(tokens).detach().double().numpy()
        return normalised

    def harmonic(values: dict[tuple[int, int], float], side: int, row: int, column: int) -> float:
        covering = [
            value for (top, left), value in values.items() if top <= row < top + side and left <= column < left + side
        ]
        return len(covering) / sum(1 / value for value in covering)

    whole = text_score(backbone.embed_images(backbone.normalised(query[None]))[0].double().numpy())
    query_patches, normal_patches = patches_of(query), np.concatenate([patches_of(normal) for normal in normals])
    zero_shot = {side: {at: text_score(window) for at, window in windows_of(query, side).items()} for side in (2, 3)}
    associated = {}
    for side in (2, 3):
        normal_windows = [window for normal in normals for window in windows_of(normal, side).values()]
        associated[side] = {
            at: min(0.5 * (1 - cosine(window, other)) for other in normal_windows)
            for at, window in windows_of(query, side).items()
        }
    few_shot, maps = np.zeros((rows, columns)), np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            patch = query_patches[row * columns + column]
            patch_distance = min(0.5 * (1 - cosine(patch, other)) for other in normal_patches)
            few_shot[row, column] = (
                patch_distance + harmonic(associated[2], 2, row, column) + harmonic(associated[3], 3, row, column)
            ) / 3
            text = 3 / (
                1 / whole + 1 / harmonic(zero_shot[2], 2, row, column) + 1 / harmonic(zero_shot[3], 3, row, column)
            )
            maps[row, column] = (text + few_shot[row, column]) / 2
    return (whole + few_shot.max()) / 2, maps
