"""The images that both sides are compared on."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.peers.resnet_backbone import SIDE_PX
from imaging.decode import decode
from imaging.rgb import RgbImage
from scorer.backbones.image_resize import frame_image
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings

SHOTS = 4
NOUN = "bolt"
STRETCH = Framing("stretch")


@dataclass(frozen=True, slots=True)
class PeerDataset:
    """The images of one dataset, all 256 × 256.

    Attributes:
        name: The folder's name.
        pool: The normals that shots are drawn from.
        tested: The images to score: first the normals, then the anomalies.
        good: How many of them are normals.
    """

    name: str
    pool: list[RgbImage]
    tested: list[RgbImage]
    good: int

    def normals(self, seed: int) -> list[RgbImage]:
        """Return the shots of one draw."""
        return random.Random(seed).sample(self.pool, SHOTS)


def read_peer_dataset(folder: Path, limit: int) -> PeerDataset:
    """Read a folder in MVTec AD layout, with at most `limit` normals and `limit` anomalies to test."""
    settings = ScorerSettings()

    def read_sample(paths: Iterable[Path], count: int) -> list[RgbImage]:
        files = sorted(paths)
        chosen = random.Random(0).sample(files, min(count, len(files)))
        images = [decode(path.read_bytes(), settings.image_limits).pixels for path in chosen]
        return [frame_image(STRETCH, image, (SIDE_PX, SIDE_PX)) for image in images]

    good = read_sample((folder / "test" / "good").iterdir(), limit)
    bad = read_sample((path for path in (folder / "test").glob("*/*") if path.parent.name != "good"), limit)
    pool = read_sample((folder / "train" / "good").iterdir(), 8 * SHOTS)
    return PeerDataset(folder.name, pool, good + bad, len(good))


def write_images(folder: Path, name: str, normals: Sequence[RgbImage], tested: Sequence[RgbImage]) -> str:
    """Write images as ``NAME.safetensors`` for anomalib's process; return the name."""
    stacks = {"normals": np.stack(normals), "tested": np.stack(tested)}
    tensors = {key: torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() for key, images in stacks.items()}
    save_file(tensors, folder / f"{name}.safetensors")
    return name
