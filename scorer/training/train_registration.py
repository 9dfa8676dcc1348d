"""Train RegAD's registration: `python -m scorer.training.train_registration --photos DIR [--alike DIR…] --out FILE`.

A pair shows one category: two views of a photograph or synthetic surface that differ in rotation, scale, shift and
light, or two images of a folder given with --alike. After Huang et al. (arXiv 2207.07361) the loss is the negative
cosine of the patches of both images at each position. The encoder and predictor of the paper prevent a ResNet that is
trained along from making all patches alike; here the backbone is frozen, and with them the transformer learned nothing.
A penalty keeps the mean transform of a batch at the identity; without it all images are merely enlarged.
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

from foundation.atomic_files import write_file
from imaging.rgb import RgbImage
from scorer.backbones.protocol import PatchBackbone
from scorer.backbones.tiny import load_tiny
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.regad.registration import MIN_COVERAGE, RegistrationNetwork, similarity_maps, warp_maps
from scorer.distances.euclidean import concat_unit_layers
from scorer.training.images.crops import RandomCrops

_log = structlog.get_logger()

ENCODE_BATCH_SIZE = 8
STEPS_PER_LOG = 100

SMOOTHING_PASSES = 2
"""How often patches are averaged over 3 × 3 cells before they are compared."""

FOLDER_EVERY = 4
"""Every fourth category comes from a folder of --alike, if there are any."""


@dataclass(frozen=True, slots=True)
class RegistrationTrainingConfig:
    """The hyperparameters of a training.

    Attributes:
        categories: How many categories are made.
        views: Images per category.
        max_rotation: The largest rotation of a view, in degrees.
        max_scale: The largest factor by which a view is enlarged or reduced.
        max_shift: The largest shift of a view, as a fraction of the side.
        batch: Pairs per batch.
        steps: Batches to train on.
        identity_weight: The weight of the penalty on the mean transform.
        rate: The full learning rate of AdamW.
        held_out: The fraction of the categories that are only evaluated on.
        seed: The seed of weights, images and batches.
    """

    categories: int = 320
    views: int = 4
    max_rotation: float = 30.0
    max_scale: float = 1.15
    max_shift: float = 0.12
    batch: int = 16
    steps: int = 1200
    identity_weight: float = 10.0
    rate: float = 3e-3
    held_out: float = 0.15
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AlignedFeatures:
    """The features of B images after their transforms.

    Attributes:
        maps: Unit directions, (B, D, rows, columns).
        valid_mask: The cells that still show the image, (B, rows, columns), bool.
        transforms: The affine transforms, (B, 2, 3).
    """

    maps: torch.Tensor
    valid_mask: torch.Tensor
    transforms: torch.Tensor


def align_features(network: RegistrationNetwork, patches: Patches) -> AlignedFeatures:
    """Transform the patches of images as the network predicts.

    Patches are smoothed first; otherwise a shift by half a cell would gain from its own blurring.
    """
    maps = rearrange(concat_unit_layers(patches.tokens), "b (r c) d -> b d r c", r=patches.grid[0])
    for _ in range(SMOOTHING_PASSES):
        maps = functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    valid_mask = patches.valid_mask.view(-1, 1, *patches.grid)
    transforms = network(similarity_maps(patches))
    warped, coverage = warp_maps(maps, valid_mask, transforms)
    return AlignedFeatures(warped, coverage[:, 0] > MIN_COVERAGE, transforms)


def mean_cosine(first: AlignedFeatures, second: AlignedFeatures) -> torch.Tensor:
    """Return the mean cosine of the patches of pairs at the positions that both images show."""
    both = first.valid_mask & second.valid_mask
    return functional.cosine_similarity(first.maps, second.maps, dim=1)[both].mean()


def mean_transform_penalty(features: AlignedFeatures) -> torch.Tensor:
    """Return the squared distance of a batch's mean transform from the identity.

    Enlarging or rotating all images alike would make any two of them more alike.
    """
    return (features.transforms.mean(dim=0) - torch.eye(2, 3)).square().sum()


def augmented_view(
    generator: np.random.Generator, image: Image.Image, side: int, config: RegistrationTrainingConfig
) -> RgbImage:
    """Return a rotated, scaled, shifted and differently lit view of an image's middle, (side, side, 3)."""
    angle = np.deg2rad(generator.uniform(-config.max_rotation, config.max_rotation))
    scale = np.exp(generator.uniform(-1, 1) * np.log(config.max_scale))
    x, y = np.array(image.size) / 2 + generator.uniform(-1, 1, 2) * config.max_shift * side
    cos, sin, half = np.cos(angle) / scale, np.sin(angle) / scale, side / 2
    affine = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    transformed = image.transform((side, side), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    lit = np.asarray(transformed, np.float32) * np.exp(generator.normal(0, 0.1)) + generator.normal(0, 8)
    noise = generator.normal(0, generator.uniform(0, 6), transformed.size)[..., None]
    view: RgbImage = (lit + noise).clip(0, 255).astype(np.uint8)
    return view


def pad_edges(image: Image.Image, side: int, padded_side: int) -> Image.Image:
    """Return an image resized to side × side, with its edges repeated out to padded_side × padded_side."""
    margin = (padded_side - side) // 2
    resized = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))
    return Image.fromarray(np.pad(resized, ((margin, margin), (margin, margin), (0, 0)), mode="edge"))


def make_categories(
    photos: Path, alike: Sequence[Path], side: int, config: RegistrationTrainingConfig
) -> list[list[RgbImage]]:
    """Return the views of each category, folders of `alike` in turn with photographs and synthetic surfaces."""
    padded_side = 3 * side // 2
    crops = RandomCrops(photos, padded_side)
    folders = [sorted(folder.iterdir()) for folder in alike]
    categories = []
    for number in range(config.categories):
        generator = np.random.default_rng([config.seed, number])
        if folders and number % FOLDER_EVERY == 0:
            paths = folders[number // FOLDER_EVERY % len(folders)]
            chosen = generator.choice(len(paths), config.views, replace=False)
            images = [pad_edges(Image.open(paths[index]), side, padded_side) for index in chosen]
        else:
            images = [Image.fromarray(crops.draw(config.seed, number))] * config.views
        categories.append([augmented_view(generator, image, side, config) for image in images])
    return categories


def encode_views(backbone: PatchBackbone, views: Sequence[RgbImage]) -> Patches:
    """Return the tokens of images of the backbone's own size."""
    pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)
    tokens = torch.cat([backbone.tokens(batch) for batch in torch.split(pixels, ENCODE_BATCH_SIZE)], dim=1)
    return Patches(tokens.clone(), torch.ones(tokens.shape[1:3], dtype=torch.bool), backbone.grid)


def sample_pairs(
    generator: np.random.Generator, categories: Sequence[int], views: int, count: int
) -> tuple[list[int], list[int]]:
    """Return the indices of the first and second images of `count` pairs, each of two views of one category."""
    chosen = generator.choice(categories, count)
    two_views = np.stack([generator.choice(views, 2, replace=False) for _ in range(count)])
    first, second = (list(map(int, chosen * views + two_views[:, index])) for index in (0, 1))
    return first, second


def train_registration(patches: Patches, config: RegistrationTrainingConfig) -> RegistrationNetwork:
    """Train on images in the order of their categories, and log the mean cosine of held-out pairs."""
    torch.manual_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    network = RegistrationNetwork()
    shuffled = generator.permutation(config.categories)
    held_out, trained = np.split(shuffled, [max(1, round(config.held_out * config.categories))])
    held_out_pairs = [
        patches.take(indices) for indices in sample_pairs(generator, list(held_out), config.views, 4 * len(held_out))
    ]
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    cosines: list[float] = []
    for step in range(config.steps):
        if step % STEPS_PER_LOG == 0:
            _log_cosines(step, cosines, network, held_out_pairs)
            cosines.clear()
        first, second = (
            align_features(network, patches.take(indices))
            for indices in sample_pairs(generator, list(trained), config.views, config.batch)
        )
        cosine = mean_cosine(first, second)
        loss = -cosine + config.identity_weight * (mean_transform_penalty(first) + mean_transform_penalty(second)) / 2
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        cosines.append(cosine.item())
    _log_cosines(config.steps, cosines, network, held_out_pairs)
    return network.eval()


def main() -> None:
    """Read the command line, train, write the weights, and log their sha256."""
    defaults = RegistrationTrainingConfig()
    parser = argparse.ArgumentParser(prog="python -m scorer.training.train_registration", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--alike", type=Path, nargs="*", default=[], help="folders, each with images of one category")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--categories", type=int, default=defaults.categories)
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = RegistrationTrainingConfig(categories=options.categories, steps=options.steps, seed=options.seed)
    backbone = load_tiny()
    categories = make_categories(options.photos, options.alike, backbone.size[0], config)
    network = train_registration(encode_views(backbone, [view for views in categories for view in views]), config)
    content = save({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()})
    write_file(options.out, content)
    _log.info("weights written", path=str(options.out), bytes=len(content), sha256=sha256(content).hexdigest())


def _log_cosines(
    step: int, cosines: Sequence[float], network: RegistrationNetwork, held_out_pairs: Sequence[Patches]
) -> None:
    with torch.no_grad():
        held_out = mean_cosine(*(align_features(network, patches) for patches in held_out_pairs)).item()
    mean = float(np.mean(cosines)) if cosines else float("nan")
    _log.info("training registration", step=step, cosine=round(mean, 4), held_out_cosine=round(held_out, 4))


if __name__ == "__main__":
    main()
