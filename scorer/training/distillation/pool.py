"""A growing pool of training images with the teachers' feature maps on disk, so that each is computed only once.

One process fills it (`fill_pool`) while another draws from it (`DistillationPool.sample`); neither waits for the other.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from foundation.atomic_files import replace_file
from scorer.backbones.teacher_networks import load_teachers
from scorer.training.images.crops import RandomCrops

SHARD_IMAGES = 256
_TEACHER_BATCH = 4

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class DistillationBatch:
    """B images with the feature maps of both teachers.

    Attributes:
        keys: The shard and the row in it of each image.
        images: (B, 3, H, W), float32 in [0, 1].
        resnet: The ResNet teacher's maps, (B, depth, h, w).
        mobilenet: The MobileNet teacher's maps, (B, depth, h, w).
    """

    keys: list[tuple[int, int]]
    images: torch.Tensor
    resnet: torch.Tensor
    mobilenet: torch.Tensor


@torch.inference_mode()
def write_shard(folder: Path, number: int, crops: RandomCrops, teachers: Path, seed: int) -> None:
    """Write shard `number`: 256 images, uint8, and both teachers' maps, fp16; the images are written last."""
    resnet, mobilenet = load_teachers(teachers)
    drawn = np.stack([crops.draw(seed, number * SHARD_IMAGES + index) for index in range(SHARD_IMAGES)])
    maps: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for batch in torch.split(torch.from_numpy(drawn), _TEACHER_BATCH):
        images = batch.permute(0, 3, 1, 2).float().div(255)
        for teacher, own_maps in zip((resnet, mobilenet), maps, strict=True):
            own_maps.append(teacher(images).half())
    for name, own_maps in zip(("resnet", "mobilenet"), maps, strict=True):
        _write_array(folder / f"{name}_{number:05d}.npy", torch.cat(own_maps).numpy())
    _write_array(folder / f"images_{number:05d}.npy", drawn)


def fill_pool(folder: Path, photos: Path, teachers: Path, side: int, seed: int, shards: int) -> None:
    """Write the shards that are missing up to `shards`; return early when the parent process ends."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    crops = RandomCrops(photos, side)
    parent = os.getppid()
    for number in range(shards):
        if os.getppid() != parent:
            return
        if not (folder / f"images_{number:05d}.npy").is_file():
            write_shard(folder, number, crops, teachers, seed)


class DistillationPool:
    """Draws batches from the shards that exist at that moment."""

    def __init__(self, folder: Path) -> None:
        """Read shards of `folder`."""
        self._folder = folder
        self._shards: dict[int, tuple[Array, Array, Array]] = {}

    def __len__(self) -> int:
        """Return the number of images at this moment."""
        self._open_new_shards()
        return SHARD_IMAGES * len(self._shards)

    def sample(self, generator: np.random.Generator, size: int) -> DistillationBatch:
        """Return `size` random images of all shards; raise RuntimeError while there is no shard."""
        if not len(self):
            raise RuntimeError(f"The pool {self._folder} has no shard yet.")
        shards = sorted(self._shards)
        keys = [(shards[generator.integers(len(shards))], int(generator.integers(SHARD_IMAGES))) for _ in range(size)]
        images, resnet, mobilenet = (
            torch.from_numpy(np.stack([self._shards[shard][part][row] for shard, row in keys])) for part in range(3)
        )
        scaled = images.permute(0, 3, 1, 2).float().div(255)
        return DistillationBatch(keys, scaled, resnet.float(), mobilenet.float())

    def _open_new_shards(self) -> None:
        for path in self._folder.glob("images_*.npy"):
            number = int(path.stem.split("_")[1])
            if number not in self._shards:
                names = (path, *(path.with_name(f"{name}_{number:05d}.npy") for name in ("resnet", "mobilenet")))
                images, resnet, mobilenet = (np.load(name, mmap_mode="r") for name in names)
                self._shards[number] = (images, resnet, mobilenet)


def _write_array(path: Path, array: Array) -> None:
    with replace_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)
