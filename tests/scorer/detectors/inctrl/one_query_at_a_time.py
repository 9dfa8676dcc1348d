"""A second implementation of InCTRL in float64: slow, with plain loops over tokens, and independent of the first.

Written from the papers (CLIP, arXiv 2103.00020; InCTRL, arXiv 2403.06495) with nothing but named tensors as input.
"""

import math

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def to_float64(tensors: Tensors) -> Tensors:
    return {name: tensor.double() for name, tensor in tensors.items()}


def layer_norm(vector: Tensor, tensors: Tensors, name: str) -> Tensor:
    centred = vector - vector.mean()
    return centred / math.sqrt(float((centred**2).mean()) + 1e-5) * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def linear(vector: Tensor, tensors: Tensors, name: str) -> Tensor:
    return tensors[f"{name}.weight"] @ vector + tensors[f"{name}.bias"]


def gelu(vector: Tensor) -> Tensor:
    return vector * 0.5 * (1 + torch.erf(vector / math.sqrt(2)))


def block(states: list[Tensor], tensors: Tensors, name: str, heads: int, causal: bool) -> list[Tensor]:
    width = len(states[0])
    of_head = width // heads
    projections = [
        tensors[f"{name}.attn.in_proj_weight"] @ layer_norm(state, tensors, f"{name}.ln_1")
        + tensors[f"{name}.attn.in_proj_bias"]
        for state in states
    ]
    after = []
    for position, state in enumerate(states):
        attended = projections[: position + 1] if causal else projections
        mixed = []
        for head in range(heads):
            part = slice(head * of_head, (head + 1) * of_head)
            query = projections[position][:width][part]
            keys = [projected[width : 2 * width][part] for projected in attended]
            values = [projected[2 * width :][part] for projected in attended]
            attention = torch.softmax(torch.stack([query @ key / math.sqrt(of_head) for key in keys]), dim=0)
            mixed.append(sum(weight * value for weight, value in zip(attention, values, strict=True)))
        state = state + linear(torch.cat(mixed), tensors, f"{name}.attn.out_proj")
        hidden = gelu(linear(layer_norm(state, tensors, f"{name}.ln_2"), tensors, f"{name}.mlp.c_fc"))
        after.append(state + linear(hidden, tensors, f"{name}.mlp.c_proj"))
    return after


def image_tower(
    pixels: Tensor, tensors: Tensors, patch: int, heads: int, returned_blocks: tuple[int, ...]
) -> tuple[list[Tensor], Tensor]:
    """Return patch tokens (P, W) after each of the blocks, which count from 1, and the embedding (D,)."""
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (MEAN, STD))
    image = (pixels.double() / 255 - mean) / std
    states = [tensors["visual.class_embedding"]]
    for row in range(0, image.shape[1], patch):
        for column in range(0, image.shape[2], patch):
            square = image[:, row : row + patch, column : column + patch]
            states.append((tensors["visual.conv1.weight"] * square).sum(dim=(1, 2, 3)))
    states = [
        layer_norm(state + tensors["visual.positional_embedding"][position], tensors, "visual.ln_pre")
        for position, state in enumerate(states)
    ]
    tokens = []
    blocks = 1 + max(int(name.split(".")[3]) for name in tensors if name.startswith("visual.transformer.resblocks"))
    for number in range(1, blocks + 1):
        states = block(states, tensors, f"visual.transformer.resblocks.{number - 1}", heads, causal=False)
        if number in returned_blocks:
            tokens.append(torch.stack(states[1:]))
    return tokens, layer_norm(states[0], tensors, "visual.ln_post") @ tensors["visual.proj"]


def text_tower(ids: list[int], tensors: Tensors, heads: int) -> Tensor:
    """Return the embedding of a padded text, (D,), read at its largest token id."""
    states = [
        tensors["token_embedding.weight"][token] + tensors["positional_embedding"][position]
        for position, token in enumerate(ids)
    ]
    blocks = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("transformer.resblocks"))
    for number in range(blocks):
        states = block(states, tensors, f"transformer.resblocks.{number}", heads, causal=True)
    return layer_norm(states[ids.index(max(ids))], tensors, "ln_final") @ tensors["text_projection"]


def adapter(embedding: Tensor, learned: Tensors) -> Tensor:
    hidden = (learned["adapter.fc.0.weight"] @ embedding).clamp(min=0)
    return (learned["adapter.fc.2.weight"] @ hidden).clamp(min=0)


def head(vector: Tensor, learned: Tensors, name: str) -> float:
    def normalised(hidden: Tensor, layer: str) -> Tensor:
        centred = hidden - learned[f"{name}.{layer}.running_mean"]
        deviation = (learned[f"{name}.{layer}.running_var"] + 1e-5).sqrt()
        return centred / deviation * learned[f"{name}.{layer}.weight"] + learned[f"{name}.{layer}.bias"]

    hidden = normalised(linear(vector, learned, f"{name}.projection1").clamp(min=0), "bn2")
    hidden = normalised(linear(hidden, learned, f"{name}.projection2").clamp(min=0), "bn3")
    return float(torch.sigmoid(linear(hidden, learned, f"{name}.projection3"))[0])


def cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()))


Image = tuple[list[Tensor], Tensor]


def inctrl_scores(
    query: Image, normals: list[Image], texts: tuple[list[Tensor], list[Tensor]], learned: Tensors
) -> dict[str, Tensor]:
    """Return every output of InCTRL for a query, under the names of `scorer.detectors.inctrl.model.InCtrlScores`."""
    patch_map = []
    for patch in range(len(query[0][0])):
        of_layers = []
        for layer, tokens in enumerate(query[0]):
            distances = [0.5 * (1 - cosine(tokens[patch], other)) for normal in normals for other in normal[0][layer]]
            of_layers.append(min(distances))
        patch_map.append(sum(of_layers) / len(of_layers))
    mean_of_normals = sum(adapter(normal[1], learned) for normal in normals) / len(normals)
    image_residual_score = head(mean_of_normals - adapter(query[1], learned), learned, "diff_head_ref")
    sides = [sum(text / text.norm() for text in side) for side in texts]
    logits = torch.tensor([100 * cosine(query[1], side) for side in sides], dtype=torch.float64)
    text_score = float(torch.softmax(logits, dim=0)[1])
    holistic_map = torch.tensor(
        [distance + image_residual_score + text_score for distance in patch_map], dtype=torch.float64
    )
    holistic_score = head(holistic_map, learned, "diff_head")
    outputs = {
        "score": (holistic_score + max(patch_map)) / 2,
        "text_score": text_score,
        "image_residual_score": image_residual_score,
        "patch_residual_map": patch_map,
        "holistic_score": holistic_score,
        "max_patch_residual": max(patch_map),
    }
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in outputs.items()}
