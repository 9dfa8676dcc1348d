"""Train `andon-tiny` from its two teachers: `python -m scorer.training.train_distillation --photos DIR --teachers DIR
--out FILE`.

Resumes from the checkpoint beside FILE; writes FILE (safetensors, fp16, averaged weights) at every checkpoint.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import structlog
import torch
from safetensors.torch import save

from foundation.atomic_files import write_file
from scorer.backbones.teacher_networks import load_teachers
from scorer.backbones.tiny import TinyNetwork
from scorer.training.distillation_pool import SHARD_IMAGES, DistillationPool, fill
from scorer.training.distillation_trainer import DistillationTrainer, DistillationTrainingConfig
from scorer.training.pruning import initialise_from_teacher

_log = structlog.get_logger()
_USUAL = DistillationTrainingConfig()
_STEPS_A_LINE = 25


def export(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write weights as fp16 safetensors, whole or not at all."""
    write_file(path, save({name: tensor.half().contiguous() for name, tensor in weights.items()}))


def train(
    training: DistillationTrainer, pool: DistillationPool, out: Path, clock: Callable[[], float] = time.monotonic
) -> None:
    """Go on until the recipe's minutes are over, counted over all runs together."""
    recipe, checkpoint = training.recipe, out.with_suffix(".checkpoint")
    begun, saved = clock() - training.seconds, clock()
    lines: list[dict[str, float]] = []
    while training.seconds < 60 * recipe.minutes:
        draw = np.random.default_rng([recipe.seed, training.step])
        lines.append(training.advance(pool.batch(draw, recipe.batch)))
        training.seconds = clock() - begun
        if training.step % _STEPS_A_LINE == 0:
            means = {key: round(float(np.mean([line[key] for line in lines if key in line])), 4) for key in lines[-1]}
            _log.info(
                "distilling", step=training.step, minutes=round(training.seconds / 60, 1), pictures=len(pool), **means
            )
            lines.clear()
        if clock() - saved > 60 * recipe.checkpoint_every:
            training.save(checkpoint)
            export(training.averaged, out)
            saved = clock()
    training.save(checkpoint)
    export(training.averaged, out)


def prepare_training(
    photos: Path, teachers: Path, folder: Path, out: Path, recipe: DistillationTrainingConfig
) -> tuple[DistillationTrainer, DistillationPool]:
    """A training at its checkpoint, or at a trunk fitted to the ResNet teacher; makes the first pictures if need be."""
    pool = DistillationPool(folder)
    torch.manual_seed(recipe.seed)
    network = TinyNetwork()
    if out.with_suffix(".checkpoint").is_file():
        training = DistillationTrainer(network, recipe)
        training.resume(out.with_suffix(".checkpoint"))
        return training, pool
    if not len(pool):
        fill(folder, photos, teachers, recipe.side, recipe.seed, shards=1)
    first = pool.batch(np.random.default_rng(recipe.seed), SHARD_IMAGES)
    missed = initialise_from_teacher(network, load_teachers(teachers)[0], first.pictures)
    _log.info("fitted the trunk", missed=[round(share, 3) for share in missed])
    return DistillationTrainer(network, recipe), pool


def main() -> None:
    """Read the command line, start the process that fills the pool, and train."""
    parser = argparse.ArgumentParser(prog="python -m scorer.training.train_distillation", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--teachers", type=Path, required=True, help="the folder with both teachers' .npz files")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--minutes", type=float, default=_USUAL.minutes, help="how long to train in all")
    parser.add_argument(
        "--alone", type=float, default=_USUAL.alone, help="the share of them for the branch alone, 0 to 1"
    )
    parser.add_argument("--pool", type=Path, help="where to keep pictures and answers (100 MB a shard; beside --out)")
    parser.add_argument("--shards", type=int, default=_USUAL.shards, help="shards of 256 pictures to make in all")
    parser.add_argument("--threads", type=int, default=1, help="cores for the student; the teachers take one more")
    asked = parser.parse_args()
    recipe = DistillationTrainingConfig(minutes=asked.minutes, alone=asked.alone, shards=asked.shards)
    folder = asked.pool or asked.out.with_suffix(".pool")
    torch.set_num_threads(asked.threads)
    training, pool = prepare_training(asked.photos, asked.teachers, folder, asked.out, recipe)
    filling = multiprocessing.get_context("spawn").Process(
        target=fill, args=(folder, asked.photos, asked.teachers, recipe.side, recipe.seed, recipe.shards), daemon=True
    )
    filling.start()
    try:
        train(training, pool, asked.out)
    finally:
        filling.terminate()
        filling.join()


if __name__ == "__main__":
    main()
