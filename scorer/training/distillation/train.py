"""Train `andon-tiny` from its two teachers: `python -m scorer.training.distillation.train --photos DIR --teachers DIR
--out FILE`.

It resumes from the checkpoint next to FILE, and writes FILE (safetensors, fp16, averaged weights) at every checkpoint.
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
from scorer.training.distillation.pool import SHARD_IMAGES, DistillationPool, fill_pool
from scorer.training.distillation.pruning import initialise_from_teacher
from scorer.training.distillation.trainer import DistillationTrainer, DistillationTrainingConfig

_log = structlog.get_logger()
_DEFAULTS = DistillationTrainingConfig()
_STEPS_PER_LOG = 25


def export_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write weights as fp16 safetensors, atomically."""
    write_file(path, save({name: tensor.half().contiguous() for name, tensor in weights.items()}))


def train_distillation(
    trainer: DistillationTrainer, pool: DistillationPool, out: Path, clock: Callable[[], float] = time.monotonic
) -> None:
    """Train until the configured minutes are over, counted over all runs together.

    Args:
        trainer: The trainer, new or resumed.
        pool: Where batches come from.
        out: The safetensors file to write.
        clock: Returns seconds since an arbitrary moment.
    """
    config, checkpoint = trainer.config, out.with_suffix(".checkpoint")
    started_s, saved_s = clock() - trainer.seconds, clock()
    reports: list[dict[str, float]] = []
    while trainer.seconds < 60 * config.minutes:
        generator = np.random.default_rng([config.seed, trainer.step])
        reports.append(trainer.advance(pool.sample(generator, config.batch)))
        trainer.seconds = clock() - started_s
        if trainer.step % _STEPS_PER_LOG == 0:
            _log_means(trainer, len(pool), reports)
            reports.clear()
        if clock() - saved_s > 60 * config.checkpoint_minutes:
            trainer.save(checkpoint)
            export_weights(trainer.averaged, out)
            saved_s = clock()
    trainer.save(checkpoint)
    export_weights(trainer.averaged, out)


def prepare_training(
    photos: Path, teachers: Path, pool_folder: Path, out: Path, config: DistillationTrainingConfig
) -> tuple[DistillationTrainer, DistillationPool]:
    """Return a trainer at its checkpoint, or at a trunk pruned from the ResNet teacher, and the pool of images.

    The first shard is written here if the pool is empty.
    """
    pool = DistillationPool(pool_folder)
    torch.manual_seed(config.seed)
    network = TinyNetwork()
    if out.with_suffix(".checkpoint").is_file():
        trainer = DistillationTrainer(network, config)
        trainer.resume(out.with_suffix(".checkpoint"))
        return trainer, pool
    if not len(pool):
        fill_pool(pool_folder, photos, teachers, config.side, config.seed, shards=1)
    first_shard = pool.sample(np.random.default_rng(config.seed), SHARD_IMAGES)
    unexplained = initialise_from_teacher(network, load_teachers(teachers)[0], first_shard.images)
    _log.info("trunk pruned", unexplained_variance=[round(fraction, 3) for fraction in unexplained])
    return DistillationTrainer(network, config), pool


def main() -> None:
    """Read the command line, start the process that fills the pool, and train."""
    parser = argparse.ArgumentParser(prog="python -m scorer.training.distillation.train", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--teachers", type=Path, required=True, help="folder with both teachers' .npz files")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--minutes", type=float, default=_DEFAULTS.minutes, help="minutes of training in all")
    parser.add_argument(
        "--branch-only", type=float, default=_DEFAULTS.branch_only, help="fraction of them for the branch alone, 0 to 1"
    )
    parser.add_argument(
        "--pool", type=Path, help="folder of images and maps, 100 MB per shard; next to --out by default"
    )
    parser.add_argument("--shards", type=int, default=_DEFAULTS.shards, help="shards of 256 images to make in all")
    parser.add_argument("--threads", type=int, default=1, help="cores for the student; the teachers take one more")
    options = parser.parse_args()
    config = DistillationTrainingConfig(minutes=options.minutes, branch_only=options.branch_only, shards=options.shards)
    pool_folder = options.pool or options.out.with_suffix(".pool")
    torch.set_num_threads(options.threads)
    trainer, pool = prepare_training(options.photos, options.teachers, pool_folder, options.out, config)
    filler = multiprocessing.get_context("spawn").Process(
        target=fill_pool,
        args=(pool_folder, options.photos, options.teachers, config.side, config.seed, config.shards),
        daemon=True,
    )
    filler.start()
    try:
        train_distillation(trainer, pool, options.out)
    finally:
        filler.terminate()
        filler.join()


def _log_means(trainer: DistillationTrainer, images: int, reports: list[dict[str, float]]) -> None:
    means = {
        name: round(float(np.mean([report[name] for report in reports if name in report])), 4) for name in reports[-1]
    }
    _log.info("distilling", step=trainer.step, minutes=round(trainer.seconds / 60, 1), images=images, **means)


if __name__ == "__main__":
    main()
