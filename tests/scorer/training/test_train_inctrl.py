"""Training of InCTRL's heads: classes, episodes, the loss, resuming, and the cache of encoded classes."""

from collections.abc import Sequence
from functools import partial
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.rgb import RgbImage
from scorer.distances import cosine
from scorer.errors import InvalidWeights
from scorer.imaging.framing import Framing
from scorer.training.checkpoints import ReportStep, run_to_last_step
from scorer.training.images.dataset import (
    NO_ORIGIN,
    DatasetLimits,
    LabelledQuery,
    TrainingClass,
    read_labelled_set,
)
from scorer.training.inctrl.episodes import (
    BackboneFeatures,
    EncodedClass,
    encode_class,
    encode_class_cached,
    sample_episodes,
)
from scorer.training.inctrl.frozen_backbones import FrozenClipBackbone
from scorer.training.inctrl.trainer import (
    InctrlTrainer,
    InctrlTrainingConfig,
    focal_loss,
    initialise_heads,
    predict,
)
from testing.line import encoded, part
from tests.scorer.backbones.tiny_clip import tiny_inctrl
from tests.scorer.training.labelled_set import write_labelled_set

pytestmark = pytest.mark.usefixtures("one_thread")


WIDTH, GRID = 5, (2, 3)


CPU = torch.device("cpu")


def random_class(seed: int, normals: int = 6, prompts: int = 4, anomalies: int = 3, synthetic: int = 2) -> EncodedClass:
    """Return a class with slightly larger residuals for anomalies; its first normals are the prompts themselves."""
    generator = torch.Generator().manual_seed(seed)
    queries = normals + anomalies + synthetic
    anomalous = torch.tensor([False] * normals + [True] * (anomalies + synthetic))
    residuals = torch.rand(queries, prompts, 2, 6, generator=generator) + 0.3 * anomalous[:, None, None, None]
    origins = [*range(prompts), *[NO_ORIGIN] * (normals - prompts + anomalies), *range(synthetic)]
    embeddings = torch.randn(queries, WIDTH, generator=generator), torch.randn(prompts, WIDTH, generator=generator)
    texts = torch.rand(queries, generator=generator)
    return EncodedClass(residuals, *embeddings, texts, anomalous, torch.tensor(origins))


def random_sources(seed: int = 0) -> dict[str, list[EncodedClass]]:
    photographs = [random_class(seed + offset, prompts=2) for offset in (1, 2, 3)]
    return {"bolts": [random_class(seed)], "photographs": photographs}


def trainer(config: InctrlTrainingConfig, seed: int = 0) -> InctrlTrainer:
    return InctrlTrainer(initialise_heads(WIDTH, 6, seed), random_sources(), config, GRID, CPU)


def train(config: InctrlTrainingConfig, checkpoint: Path, report: ReportStep) -> dict[str, torch.Tensor]:
    trained = trainer(config)
    run_to_last_step(trained, checkpoint, report)
    return trained.weights()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 40))
def test_a_query_is_never_compared_with_itself_or_its_origin(seed: int, shots: int, size: int) -> None:
    sources = random_sources()
    batch = sample_episodes(sources, size, shots, np.random.default_rng(seed))
    for episode in batch.episodes:
        drawn = sources[sorted(sources)[episode.source]][episode.class_index]
        assert int(drawn.origins[episode.query]) not in episode.prompts
        assert len(episode.prompts) == shots
        allowed = len(drawn.prompts) - (int(drawn.origins[episode.query]) != NO_ORIGIN)
        assert len(set(episode.prompts)) == min(shots, allowed)


def test_half_of_every_batch_are_anomalies_and_sources_are_equally_likely() -> None:
    sources = random_sources()
    generator = np.random.default_rng(0)
    batches = [sample_episodes(sources, 48, 2, generator) for _ in range(50)]
    assert all(batch.labels.mean() == 0.5 for batch in batches)
    for batch in batches:
        for label, episode in zip(batch.labels, batch.episodes, strict=True):
            drawn = sources[sorted(sources)[episode.source]][episode.class_index]
            assert bool(drawn.anomalous[episode.query]) == bool(label)
    fraction = np.mean([episode.source for batch in batches for episode in batch.episodes])
    assert abs(fraction - 0.5) < 0.04  # four standard deviations of 2,400 fair draws


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(8)), st.booleans())
def test_a_batch_never_mixes_its_episodes(seed: int, order: Sequence[int], is_training: bool) -> None:
    heads = initialise_heads(WIDTH, 6, seed).train(is_training)
    batch = sample_episodes(random_sources(seed), 8, 3, np.random.default_rng(seed))
    logits, permuted = predict(heads, batch), predict(heads, batch.take(order))
    torch.testing.assert_close(permuted.holistic, logits.holistic[list(order)], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(permuted.image, logits.image[list(order)], atol=1e-4, rtol=1e-4)
    if not is_training:
        alone = predict(heads, batch.take([order[0]]))
        torch.testing.assert_close(alone.holistic[0], logits.holistic[order[0]], atol=1e-5, rtol=1e-5)


def test_each_row_belongs_to_its_own_query_and_prompts() -> None:
    sources = random_sources()
    batch = sample_episodes(sources, 30, 3, np.random.default_rng(1))
    for row, episode in enumerate(batch.episodes):
        drawn = sources[sorted(sources)[episode.source]][episode.class_index]
        nearest = torch.stack([drawn.residuals[episode.query, prompt] for prompt in episode.prompts]).amin(dim=0)
        torch.testing.assert_close(batch.maps[row], nearest.mean(dim=0))
        assert torch.equal(batch.queries[row], drawn.queries[episode.query])
        assert torch.equal(batch.prompts[row], drawn.prompts[list(episode.prompts)])
        assert batch.texts[row] == drawn.texts[episode.query]


def test_the_focal_loss_is_the_papers_on_logits() -> None:
    """At logits 0 and log 3 the probabilities are ½ and ¾: ¼ log 2 for the first, 1/16 log 4/3 where the second is true
    and 9/16 log 4 where it is not."""
    logits = torch.tensor([0.0, 0.0, log(3), log(3)])
    labels = torch.tensor([0.0, 1.0, 1.0, 0.0])
    expected = (2 * log(2) / 4 + log(4 / 3) / 16 + 9 * log(4) / 16) / 4
    assert focal_loss(logits, labels, gamma=2).item() == pytest.approx(expected, rel=1e-6)
    assert focal_loss(torch.tensor([30.0, -30.0]), torch.tensor([1.0, 0.0])).item() < 1e-12


def test_the_loss_falls_and_equal_seeds_give_equal_weights() -> None:
    config = InctrlTrainingConfig(steps=150, batch=32, shots=(2, 3), rate=3e-3)
    first, second = trainer(config), trainer(config)
    losses = [first.advance() for _ in range(150)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    for _ in range(150):
        second.advance()
    assert all(torch.equal(second.weights()[name], values) for name, values in first.weights().items())
    other = trainer(InctrlTrainingConfig(steps=1, batch=16, seed=1), seed=1)
    name = "adapter.fc.0.weight"
    assert not torch.equal(other.weights()[name], initialise_heads(WIDTH, 6, 0).state_dict()[name])


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    config = InctrlTrainingConfig(steps=20, batch=8, checkpoint_every=8)
    uninterrupted = train(config, tmp_path / "uninterrupted", lambda step, loss: None)

    def interrupt_at_13(step: int, loss: float) -> None:
        if step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "interrupted", interrupt_at_13)
    steps: list[int] = []
    resumed = train(config, tmp_path / "interrupted", lambda step, loss: steps.append(step))
    assert steps[0] == 9
    assert all(torch.equal(resumed[name], values) for name, values in uninterrupted.items())
    assert not (tmp_path / "interrupted").exists()


def test_a_torn_checkpoint_or_one_of_another_training_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "it"
    trainer(InctrlTrainingConfig(steps=4, batch=8)).save(checkpoint)
    with pytest.raises(InvalidWeights):
        trainer(InctrlTrainingConfig(steps=5, batch=8)).resume(checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(InvalidWeights):
        trainer(InctrlTrainingConfig(steps=4, batch=8)).resume(checkpoint)


def test_the_minimum_over_prompts_is_the_residual_against_all_of_them_together() -> None:
    """A query is compared with each prompt alone, and the detector compares it with all of them at once."""
    backbone = FrozenClipBackbone(tiny_inctrl(), Framing("stretch"))
    images = [part(number) for number in range(4)]
    prompts = [partial(part, number) for number in range(3)]
    query = LabelledQuery(partial(part, 3), False, NO_ORIGIN)
    bolts = encode_class(backbone, TrainingClass("bolts", "bolt", (), prompts, [query]))
    tokens = backbone.encode(images[:3]).tokens
    together = cosine.nearest_residual(backbone.encode(images[3:]).tokens, tokens.flatten(1, 2))
    torch.testing.assert_close(bolts.residuals[0].amin(dim=0).mean(dim=0), together[0])
    assert 0 < bolts.texts[0] < 1


def test_the_loss_falls_on_a_narrow_random_clip_too() -> None:
    backbone = FrozenClipBackbone(tiny_inctrl(), Framing("stretch"))
    queries = [
        *(LabelledQuery(partial(part, number), False, number) for number in range(6)),
        *(LabelledQuery(partial(part, number, defect=True), True, NO_ORIGIN) for number in range(10, 16)),
    ]
    prompts = [partial(part, number) for number in range(6)]
    sources = {"bolts": [encode_class(backbone, TrainingClass("bolts", "bolt", (), prompts, queries))]}
    config = InctrlTrainingConfig(steps=60, batch=16)
    trained = InctrlTrainer(initialise_heads(backbone.width, 12, 0), sources, config, backbone.grid, CPU)
    losses = [trained.advance() for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


class TwoPatchBackbone:
    """Gives two patches, the first in padding; a query's second patch equals a prompt's first."""

    identity, grid, width = "two patches", (1, 2), 2

    def encode(self, images: Sequence[RgbImage]) -> BackboneFeatures:
        directions = torch.eye(2)
        tokens = [directions[[1, 0]] if (image == part(2)).all() else directions for image in images]
        valid_mask = torch.tensor([[False, True]]).expand(len(images), 2)
        return BackboneFeatures(torch.stack(tokens)[None], valid_mask, torch.zeros(len(images), 2))

    def text_scores(self, embedding: torch.Tensor, noun: str) -> None:
        return None


def test_padding_is_never_the_nearest_patch_and_has_no_residual() -> None:
    query = LabelledQuery(partial(part, 2), True, NO_ORIGIN)
    bolts = TrainingClass("bolts", "bolt", (), [partial(part, 1)] * 2, [query])
    encoded_class = encode_class(TwoPatchBackbone(), bolts)
    assert (encoded_class.residuals[0, :, 0, 0] == 0).all()
    assert torch.allclose(
        encoded_class.residuals[0, :, 0, 1], torch.tensor(0.5)
    )  # its equal is in the prompts' padding


def test_a_class_is_encoded_once_until_its_images_change(tmp_path: Path) -> None:
    backbone = FrozenClipBackbone(tiny_inctrl(), Framing("stretch"))
    folder, cache = write_labelled_set(tmp_path / "bolts"), tmp_path / "cache"
    first = encode_class_cached(backbone, read_labelled_set(folder, DatasetLimits(), 0), cache)
    (cached,) = cache.iterdir()
    written_ns = cached.stat().st_mtime_ns
    second = encode_class_cached(backbone, read_labelled_set(folder, DatasetLimits(), 0), cache)
    assert torch.equal(first.residuals, second.residuals)
    assert cached.stat().st_mtime_ns == written_ns
    (folder / "train" / "good" / "0.png").write_bytes(encoded(part(77, size=(60, 60))))
    encode_class_cached(backbone, read_labelled_set(folder, DatasetLimits(), 0), cache)
    assert len(list(cache.iterdir())) == 2
