"""Train RegAD's registration: `python -m scorer.training.train_registration --photos DIR [--alike DIR…] --out FILE`.

Pairs show one category: the same photograph or made surface turned, scaled, shifted and lit differently, or two
pictures of one folder given with --alike. After Huang et al. (arXiv 2207.07361) the loss is the negative cosine of the
two pictures' patches at each place. The encoder and predictor through which the paper takes it keep a ResNet that is
trained along from making all patches alike; here the backbone stays as it is, and with them the transformer learned
nothing. On average pictures must stay where they are, else all are merely enlarged.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import structlog
import torch
from einops import rearrange
from PIL import Image
from safetensors.torch import save
from torch.nn import functional

from scorer.backbones.protocol import PatchBackbone
from scorer.backbones.tiny import load_tiny
from scorer.detectors.patches import Patches
from scorer.detectors.regad.registration import MIN_COVERAGE, RegistrationNetwork, similarity_maps, warp_maps
from scorer.distances.euclidean import concat_unit_layers
from scorer.imaging.rgb import RgbImage
from scorer.training.crops import RandomCrops

_log = structlog.get_logger()

ENCODE_BATCH_SIZE = 8
STEPS_PER_LOG = 100

SMOOTHING_PASSES = 2
"""How often patches are averaged over 3 × 3 cells before they are compared."""


@dataclass(frozen=True, slots=True)
class RegistrationTrainingConfig:
    """How to train. `views` pictures of each of `categories`; a view is turned, scaled and shifted at most so far.

    most_turn: degrees. most_scale: a factor up or down. most_shift: a share of the side. staying: weight of the mean
    move of a batch, squared. held_out: the share of the categories that only measure.
    """

    categories: int = 320
    views: int = 4
    most_turn: float = 30.0
    most_scale: float = 1.15
    most_shift: float = 0.12
    batch: int = 16
    steps: int = 1200
    staying: float = 10.0
    rate: float = 3e-3
    held_out: float = 0.15
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AlignedFeatures:
    """Pictures moved into place: directions (B, D, rows, columns), which cells are still of the picture, and how they
    were moved, (B, 2, 3)."""

    maps: torch.Tensor
    inside: torch.Tensor
    how: torch.Tensor


def align_features(network: RegistrationNetwork, pictures: Patches) -> AlignedFeatures:
    """Move pictures as the network says; smoothed first, else a move by half a cell gains by what it blurs."""
    maps = rearrange(concat_unit_layers(pictures.tokens), "b (r c) d -> b d r c", r=pictures.grid[0])
    for _ in range(SMOOTHING_PASSES):
        maps = functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    inside = pictures.valid_mask.view(-1, 1, *pictures.grid)
    how = network(similarity_maps(pictures))
    found, share = warp_maps(maps, inside, how)
    return AlignedFeatures(found, share[:, 0] > MIN_COVERAGE, how)


def agreement(first: AlignedFeatures, second: AlignedFeatures) -> torch.Tensor:
    """How alike patches of pairs are at the same place: mean cosine over places that both pictures show."""
    both = first.inside & second.inside
    return functional.cosine_similarity(first.maps, second.maps, dim=1)[both].mean()


def mean_transform_penalty(pictures: AlignedFeatures) -> torch.Tensor:
    """The squared mean move of a batch: enlarging or turning all pictures alike makes any two of them more alike."""
    return (pictures.how.mean(dim=0) - torch.eye(2, 3)).square().sum()


def augmented_view(
    draw: np.random.Generator, picture: Image.Image, side: int, recipe: RegistrationTrainingConfig
) -> RgbImage:
    """A turned, scaled, shifted and differently lit view of a picture's middle, (side, side, 3)."""
    turn = np.deg2rad(draw.uniform(-recipe.most_turn, recipe.most_turn))
    scale = np.exp(draw.uniform(-1, 1) * np.log(recipe.most_scale))
    x, y = np.array(picture.size) / 2 + draw.uniform(-1, 1, 2) * recipe.most_shift * side
    cos, sin, half = np.cos(turn) / scale, np.sin(turn) / scale, side / 2
    affine = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    seen = picture.transform((side, side), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    lit = np.asarray(seen, np.float32) * np.exp(draw.normal(0, 0.1)) + draw.normal(0, 8)
    grain = draw.normal(0, draw.uniform(0, 6), seen.size)[..., None]
    view: RgbImage = (lit + grain).clip(0, 255).astype(np.uint8)
    return view


def pad_edges(picture: Image.Image, side: int, wide: int) -> Image.Image:
    """A whole picture at side × side, its edges repeated out to wide × wide."""
    margin = (wide - side) // 2
    squared = np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))
    return Image.fromarray(np.pad(squared, ((margin, margin), (margin, margin), (0, 0)), mode="edge"))


def categories(
    photos: Path, alike: Sequence[Path], side: int, recipe: RegistrationTrainingConfig
) -> list[list[RgbImage]]:
    """`views` pictures of each category, folders of alike ones in turn with photographs and made surfaces."""
    wide = 3 * side // 2
    crops, found = RandomCrops(photos, wide), []
    folders = [sorted(folder.iterdir()) for folder in alike]
    for number in range(recipe.categories):
        draw = np.random.default_rng([recipe.seed, number])
        paths = folders[number // 4 % len(folders)] if folders and number % 4 == 0 else None
        if paths is None:
            pictures = [Image.fromarray(crops.draw(recipe.seed, number))] * recipe.views
        else:
            chosen = draw.choice(len(paths), recipe.views, replace=False)
            pictures = [pad_edges(Image.open(paths[one]), side, wide) for one in chosen]
        found.append([augmented_view(draw, picture, side, recipe) for picture in pictures])
    return found


def encoded(backbone: PatchBackbone, pictures: Sequence[RgbImage]) -> Patches:
    """Tokens of pictures of the backbone's own size."""
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    tokens = torch.cat([backbone.tokens(some) for some in torch.split(pixels, ENCODE_BATCH_SIZE)], dim=1)
    return Patches(tokens.clone(), torch.ones(tokens.shape[1:3], dtype=torch.bool), backbone.grid)


def pairs(draw: np.random.Generator, of: Sequence[int], views: int, count: int) -> tuple[list[int], list[int]]:
    """Places of `count` pairs of two views of one category among those numbered `of`."""
    chosen = draw.choice(of, count)
    two = np.stack([draw.choice(views, 2, replace=False) for _ in range(count)])
    first, second = (list(map(int, chosen * views + two[:, which])) for which in (0, 1))
    return first, second


def train(pictures: Patches, recipe: RegistrationTrainingConfig) -> RegistrationNetwork:
    """Train on pictures that lie category by category, and log how alike pairs of held-out categories become."""
    torch.manual_seed(recipe.seed)
    draw = np.random.default_rng(recipe.seed)
    network = RegistrationNetwork()
    shuffled = draw.permutation(recipe.categories)
    held_out, learned = np.split(shuffled, [max(1, round(recipe.held_out * recipe.categories))])
    measured = [pictures.take(places) for places in pairs(draw, list(held_out), recipe.views, 4 * len(held_out))]
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
    agreements: list[float] = []
    for step in range(recipe.steps):
        if step % STEPS_PER_LOG == 0:
            _report(step, agreements, network, measured)
        first, second = (
            align_features(network, pictures.take(places))
            for places in pairs(draw, list(learned), recipe.views, recipe.batch)
        )
        alike = agreement(first, second)
        loss = -alike + recipe.staying * (mean_transform_penalty(first) + mean_transform_penalty(second)) / 2
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        agreements.append(alike.item())
    _report(recipe.steps, agreements, network, measured)
    return network.eval()


def _report(step: int, learned: list[float], network: RegistrationNetwork, measured: Sequence[Patches]) -> None:
    with torch.no_grad():
        held_out = agreement(*(align_features(network, some) for some in measured)).item()
    mean = float(np.mean(learned)) if learned else float("nan")
    _log.info("registering", step=step, agreement=round(mean, 4), held_out_agreement=round(held_out, 4))
    learned.clear()


def main() -> None:
    """Read the command line, train, write the weights, log their sha256."""
    usual = RegistrationTrainingConfig()
    parser = argparse.ArgumentParser(prog="python -m scorer.training.train_registration", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument(
        "--alike", type=Path, nargs="*", default=[], help="folders whose pictures show one category each"
    )
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--categories", type=int, default=usual.categories)
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--threads", type=int, default=1, help="cores")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    recipe = RegistrationTrainingConfig(categories=asked.categories, steps=asked.steps, seed=asked.seed)
    backbone = load_tiny()
    shown = categories(asked.photos, asked.alike, backbone.size[0], recipe)
    network = train(encoded(backbone, [view for views in shown for view in views]), recipe)
    content = save({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()})
    asked.out.write_bytes(content)
    _log.info("written", path=str(asked.out), bytes=len(content), sha256=sha256(content).hexdigest())


if __name__ == "__main__":
    main()
