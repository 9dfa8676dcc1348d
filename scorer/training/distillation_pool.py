"""A growing pool of training pictures with the teachers' answers on disk, so that an answer costs a teacher only once.

One process fills it (`fill`) while another draws from it (`Pool.batch`): each keeps to one core and neither waits.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foundation.atomic_files import replace_file
from scorer.backbones.teacher_networks import load_teachers
from scorer.training.crops import RandomCrops

SHARD_IMAGES = 256
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class DistillationBatch:
    """Pictures (B, 3, H, W) float32 in [0, 1], what each teacher says of them, (B, depth, h, w), and where they lie."""

    places: list[tuple[int, int]]
    pictures: torch.Tensor
    resnet: torch.Tensor
    mobilenet: torch.Tensor


def _write(path: Path, array: np.ndarray) -> None:
    with replace_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


@torch.inference_mode()
def write_shard(folder: Path, number: int, crops: RandomCrops, teachers: Path, seed: int) -> None:
    """Make shard `number`: 256 pictures, uint8, with both teachers' maps, fp16; the pictures are written last."""
    resnet, mobilenet = load_teachers(teachers)
    drawn = np.stack([crops.draw(seed, number * SHARD_IMAGES + i) for i in range(SHARD_IMAGES)])
    answers: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for few in torch.split(torch.from_numpy(drawn), _AT_ONCE):
        pictures = few.permute(0, 3, 1, 2).float().div(255)
        for teacher, said in zip((resnet, mobilenet), answers, strict=True):
            said.append(teacher(pictures).half())
    for name, said in zip(("resnet", "mobilenet"), answers, strict=True):
        _write(folder / f"{name}_{number:05d}.npy", torch.cat(said).numpy())
    _write(folder / f"pictures_{number:05d}.npy", drawn)


def fill(folder: Path, photos: Path, teachers: Path, side: int, seed: int, shards: int) -> None:
    """Write shards until there are so many, then return; shards that are there already are kept."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    crops = RandomCrops(photos, side)
    parent = os.getppid()
    for number in range(shards):
        if os.getppid() != parent:
            return
        if not (folder / f"pictures_{number:05d}.npy").is_file():
            write_shard(folder, number, crops, teachers, seed)


class DistillationPool:
    """Draws batches from the shards that are there at that moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        """How many pictures there are now."""
        self._look()
        return SHARD_IMAGES * len(self._open)

    def _look(self) -> None:
        for path in self._folder.glob("pictures_*.npy"):
            number = int(path.stem.split("_")[1])
            if number not in self._open:
                names = (path, *(path.with_name(f"{name}_{number:05d}.npy") for name in ("resnet", "mobilenet")))
                first, second, third = (np.load(name, mmap_mode="r") for name in names)
                self._open[number] = (first, second, third)

    def batch(self, draw: np.random.Generator, size: int) -> DistillationBatch:
        """`size` pictures at random from all shards; RuntimeError while there is none."""
        if not len(self):
            raise RuntimeError(f"The pool {self._folder} holds no shard yet.")
        shards = sorted(self._open)
        places = [(shards[draw.integers(len(shards))], int(draw.integers(SHARD_IMAGES))) for _ in range(size)]
        pictures, resnet, mobilenet = (
            torch.from_numpy(np.stack([self._open[shard][part][row] for shard, row in places])) for part in range(3)
        )
        seen = pictures.permute(0, 3, 1, 2).float().div(255)
        return DistillationBatch(places, seen, resnet.float(), mobilenet.float())
