from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.distances import cosine
from scorer.imaging.framing import Framing
from scorer.training.backbones import FrozenClipBackbone
from scorer.training.dataset import (
    NO_ORIGIN,
    VIEWS_PER_CLASS,
    BadTrainingData,
    DatasetLimits,
    LabelledQuery,
    TrainingClass,
    read_labelled_set,
    synthetic_classes,
)
from scorer.training.episodes import BackboneFeatures, EncodedClass, encode, encode_class_cached, sample_episodes
from scorer.training.inctrl_trainer import (
    InctrlTrainer,
    InctrlTrainingConfig,
    focal_loss,
    forward,
    initialise_heads,
    train,
)
from testing.line import encoded, part
from tests.scorer.backbones.tiny_clip import tiny_inctrl

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, GRID = 5, (2, 3)
CPU = torch.device("cpu")


def gallery(seed: int, normals: int = 6, prompts: int = 4, anomalies: int = 3, made: int = 2) -> EncodedClass:
    """Random, with residuals of an anomaly a little larger; the first normals are the prompts themselves."""
    seeded = torch.Generator().manual_seed(seed)
    queries = normals + anomalies + made
    anomalous = torch.tensor([False] * normals + [True] * (anomalies + made))
    found = torch.rand(queries, prompts, 2, 6, generator=seeded) + 0.3 * anomalous[:, None, None, None]
    origins = [*range(prompts), *[NO_ORIGIN] * (normals - prompts + anomalies), *range(made)]
    embeddings = torch.randn(queries, WIDTH, generator=seeded), torch.randn(prompts, WIDTH, generator=seeded)
    return EncodedClass(found, *embeddings, torch.rand(queries, generator=seeded), anomalous, torch.tensor(origins))


def sources(seed: int = 0) -> dict[str, list[EncodedClass]]:
    return {"bolts": [gallery(seed)], "photographs": [gallery(seed + one, prompts=2) for one in (1, 2, 3)]}


def folder(path: Path, normals: int = 3, test: int = 2, defects: int = 2) -> Path:
    kinds = ("train/good", normals, False), ("test/good", test, False), ("test/blot", defects, True)
    for first, (kind, count, defect) in enumerate(kinds):
        (path / kind).mkdir(parents=True)
        for one in range(count):
            (path / kind / f"{one}.png").write_bytes(encoded(part(100 * first + one, defect)))
    return path


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 40))
def test_no_query_is_its_own_prompt_nor_is_what_it_was_made_of(seed, shots, size):
    known = sources()
    batch = sample_episodes(known, size, shots, np.random.default_rng(seed))
    for episode in batch.chosen:
        drawn = known[sorted(known)[episode.source]][episode.number]
        assert int(drawn.origins[episode.query]) not in episode.prompts
        assert len(episode.prompts) == shots
        allowed = len(drawn.prompts) - (int(drawn.origins[episode.query]) != NO_ORIGIN)
        assert len(set(episode.prompts)) == min(shots, allowed)


def test_half_of_every_batch_are_anomalies_and_every_source_comes_as_often():
    known = sources()
    draw = np.random.default_rng(0)
    batches = [sample_episodes(known, 48, 2, draw) for _ in range(50)]
    assert all(batch.labels.mean() == 0.5 for batch in batches)
    for batch in batches:
        for label, episode in zip(batch.labels, batch.chosen, strict=True):
            drawn = known[sorted(known)[episode.source]][episode.number]
            assert bool(drawn.anomalous[episode.query]) == bool(label)
    share = np.mean([episode.source for batch in batches for episode in batch.chosen])
    assert abs(share - 0.5) < 0.04  # four deviations of 2,400 fair draws


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(8)), st.booleans())
def test_a_batch_never_mixes_its_episodes(seed, order, learning):
    heads = initialise_heads(WIDTH, 6, seed).train(learning)
    batch = sample_episodes(sources(seed), 8, 3, np.random.default_rng(seed))
    said, permuted = forward(heads, batch), forward(heads, batch.take(order))
    torch.testing.assert_close(permuted.holistic, said.holistic[list(order)], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(permuted.image, said.image[list(order)], atol=1e-4, rtol=1e-4)
    if not learning:
        alone = forward(heads, batch.take([order[0]]))
        torch.testing.assert_close(alone.holistic[0], said.holistic[order[0]], atol=1e-5, rtol=1e-5)


def test_each_row_is_of_its_own_query_and_prompts():
    known = sources()
    batch = sample_episodes(known, 30, 3, np.random.default_rng(1))
    for row, episode in enumerate(batch.chosen):
        drawn = known[sorted(known)[episode.source]][episode.number]
        nearest = torch.stack([drawn.residuals[episode.query, one] for one in episode.prompts]).amin(dim=0)
        torch.testing.assert_close(batch.maps[row], nearest.mean(dim=0))
        assert torch.equal(batch.queries[row], drawn.queries[episode.query])
        assert torch.equal(batch.prompts[row], drawn.prompts[list(episode.prompts)])
        assert batch.texts[row] == drawn.texts[episode.query]


def test_the_focal_loss_is_the_papers_on_logits():
    """At logits 0 and log 3 the chances are ½ and ¾: ¼ log 2 for the first, 1/16 log 4/3 where the second is true and
    9/16 log 4 where it is not."""
    logits = torch.tensor([0.0, 0.0, log(3), log(3)])
    labels = torch.tensor([0.0, 1.0, 1.0, 0.0])
    wanted = (2 * log(2) / 4 + log(4 / 3) / 16 + 9 * log(4) / 16) / 4
    assert focal_loss(logits, labels, gamma=2).item() == pytest.approx(wanted, rel=1e-6)
    assert focal_loss(torch.tensor([30.0, -30.0]), torch.tensor([1.0, 0.0])).item() < 1e-12


def test_the_loss_falls_and_equal_seeds_give_equal_weights():
    recipe = InctrlTrainingConfig(steps=150, batch=32, shots=(2, 3), rate=3e-3)
    first, second = (InctrlTrainer(initialise_heads(WIDTH, 6, 0), recipe, GRID, CPU) for _ in range(2))
    losses = [first.advance(sources()) for _ in range(150)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    for _ in range(150):
        second.advance(sources())
    assert all(torch.equal(second.weights()[name], values) for name, values in first.weights().items())
    other = InctrlTrainer(initialise_heads(WIDTH, 6, 1), InctrlTrainingConfig(steps=1, batch=16, seed=1), GRID, CPU)
    assert not torch.equal(other.weights()["adapter.fc.0.weight"], initialise_heads(WIDTH, 6, 0).adapter.fc[0].weight)


def test_what_is_resumed_ends_as_what_was_never_interrupted(tmp_path):
    recipe = InctrlTrainingConfig(steps=20, batch=8, checkpoint_every=8)
    whole = train(
        InctrlTrainer(initialise_heads(WIDTH, 6, 0), recipe, GRID, CPU), sources(), tmp_path / "whole", lambda _: None
    )

    def interrupted_at_13(step: int) -> None:
        if step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            InctrlTrainer(initialise_heads(WIDTH, 6, 0), recipe, GRID, CPU),
            sources(),
            tmp_path / "it",
            interrupted_at_13,
        )
    steps: list[int] = []
    resumed = train(
        InctrlTrainer(initialise_heads(WIDTH, 6, 0), recipe, GRID, CPU), sources(), tmp_path / "it", steps.append
    )
    assert steps[0] == 9
    assert all(torch.equal(resumed[name], values) for name, values in whole.items())
    assert not (tmp_path / "it").exists()


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    training = InctrlTrainer(initialise_heads(WIDTH, 6, 0), InctrlTrainingConfig(steps=4, batch=8), GRID, CPU)
    training.save(tmp_path / "it", learns_from="these")
    with pytest.raises(Exception, match="another tag"):
        training.resume(tmp_path / "it", learns_from="others")
    (tmp_path / "it").write_bytes((tmp_path / "it").read_bytes()[:100])
    with pytest.raises(Exception, match="can't be read; remove it"):
        training.resume(tmp_path / "it", learns_from="these")


def test_a_class_is_read_from_its_folder(tmp_path):
    material = read_labelled_set(folder(tmp_path / "blue_bolts", normals=5), DatasetLimits(prompts=3, made=4), seed=0)
    assert (material.source, material.noun) == ("blue_bolts", "blue bolts")
    assert len(material.prompts) == 3
    assert [query.anomalous for query in material.queries] == [False] * 7 + [True] * 6
    assert [query.origin for query in material.queries] == [0, 1, 2, *[NO_ORIGIN] * 6, 0, 1, 2, NO_ORIGIN]
    for query in material.queries:
        if query.origin != NO_ORIGIN and not query.anomalous:
            assert (query.read() == material.prompts[query.origin]()).all()


def test_a_folder_without_anomalies_is_enough(tmp_path):
    material = read_labelled_set(folder(tmp_path / "bolts", test=0, defects=0), DatasetLimits(made=5), seed=0)
    assert sum(query.anomalous for query in material.queries) == 5
    with pytest.raises(BadTrainingData, match="no anomalies"):
        read_labelled_set(tmp_path / "bolts", DatasetLimits(made=0), seed=0)


def test_what_cannot_be_learned_from_is_said_in_one_sentence(tmp_path):
    with pytest.raises(BadTrainingData, match=r"has no folder train/good; put at least two"):
        read_labelled_set(tmp_path, DatasetLimits(), seed=0)
    with pytest.raises(BadTrainingData, match=r"train/good has 1 image \(.*needs at least 2 normals"):
        read_labelled_set(folder(tmp_path / "one", normals=1), DatasetLimits(), seed=0)
    with pytest.raises(BadTrainingData, match="no photographs"):
        next(synthetic_classes(tmp_path, 1, seed=0))
    with pytest.raises(BadTrainingData, match="nothing to learn from"):
        sample_episodes({}, 2, 2, np.random.default_rng(0))
    (tmp_path / "one" / "train" / "good" / "torn.png").write_bytes(encoded(part(1))[:200])
    material = read_labelled_set(tmp_path / "one", DatasetLimits(), seed=0)
    with pytest.raises(BadTrainingData, match=r"torn\.png can't be read; mend or remove it"):
        encode(FrozenClipBackbone(tiny_inctrl(), Framing()), material)


def test_photographs_become_classes_of_one_crop_each(tmp_path):
    for one in range(3):
        (tmp_path / f"{one}.png").write_bytes(encoded(part(one, size=(80, 90))))
    first, second = synthetic_classes(tmp_path, 2, seed=0)
    assert len(first.prompts) == VIEWS_PER_CLASS
    assert sum(query.anomalous for query in first.queries) == VIEWS_PER_CLASS
    pictures = [read() for read in first.prompts]
    assert all(picture.shape == (256, 256, 3) for picture in pictures)
    assert (pictures[0] != pictures[1]).any()
    assert (first.prompts[0]() == pictures[0]).all()
    assert first.digest != second.digest


def test_a_query_against_any_prompts_is_the_smallest_of_its_residuals_against_each():
    """Compared once with each prompt alone, as the detector compares it with all of them together."""
    sight = FrozenClipBackbone(tiny_inctrl(), Framing("stretch"))
    pictures = [part(number) for number in range(4)]
    prompts = [lambda one=one: one for one in pictures[:3]]
    query = LabelledQuery(lambda: pictures[3], False, NO_ORIGIN)
    seen = encode(sight, TrainingClass("bolts", "bolt", (), prompts, [query]))
    tokens = sight.see(pictures[:3]).tokens
    together = cosine.nearest_residual(sight.see(pictures[3:]).tokens, tokens.flatten(1, 2))
    torch.testing.assert_close(seen.residuals[0].amin(dim=0).mean(dim=0), together[0])
    assert 0 < seen.texts[0] < 1


def test_the_loss_falls_on_a_narrow_random_clip_too():
    sight = FrozenClipBackbone(tiny_inctrl(), Framing("stretch"))
    queries = [
        *(LabelledQuery(lambda one=one: part(one), False, one) for one in range(6)),
        *(LabelledQuery(lambda one=one: part(one, defect=True), True, NO_ORIGIN) for one in range(10, 16)),
    ]
    prompts = [lambda one=one: part(one) for one in range(6)]
    seen = {"bolts": [encode(sight, TrainingClass("bolts", "bolt", (), prompts, queries))]}
    training = InctrlTrainer(
        initialise_heads(sight.width, 12, 0), InctrlTrainingConfig(steps=60, batch=16), sight.grid, CPU
    )
    losses = [training.advance(seen) for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_bars_of_a_letterbox_are_nobodys_neighbours_and_hold_no_residual():
    sight = _Half()
    seen = encode(
        sight, TrainingClass("bolts", "bolt", (), [lambda: part(1)] * 2, [LabelledQuery(lambda: part(2), True, -1)])
    )
    assert (seen.residuals[0, :, 0, 0] == 0).all()
    assert torch.allclose(seen.residuals[0, :, 0, 1], torch.tensor(0.5))  # its like lies in the prompts' bar


class _Half:
    """Two patches, the first in a bar; a query's second looks like a prompt's first."""

    identity, grid, width = "half", (1, 2), 2

    def see(self, pictures: list[np.ndarray]) -> BackboneFeatures:
        ways = torch.eye(2)
        rows = [ways[[1, 0]] if (picture == part(2)).all() else ways for picture in pictures]
        valid_mask = torch.tensor([[False, True]]).expand(len(pictures), 2)
        return BackboneFeatures(torch.stack(rows)[None], valid_mask, torch.zeros(len(pictures), 2))

    def text_scores(self, embedding: torch.Tensor, noun: str) -> None:
        return None


def test_pictures_are_encoded_once_until_they_change(tmp_path):
    sight = FrozenClipBackbone(tiny_inctrl(), Framing("stretch"))
    path = folder(tmp_path / "bolts")
    first = encode_class_cached(sight, read_labelled_set(path, DatasetLimits(), 0), tmp_path / "seen")
    (kept,) = (tmp_path / "seen").iterdir()
    written_at = kept.stat().st_mtime_ns
    again = encode_class_cached(sight, read_labelled_set(path, DatasetLimits(), 0), tmp_path / "seen")
    assert torch.equal(first.residuals, again.residuals)
    assert kept.stat().st_mtime_ns == written_at
    (path / "train" / "good" / "0.png").write_bytes(encoded(part(77, size=(60, 60))))
    encode_class_cached(sight, read_labelled_set(path, DatasetLimits(), 0), tmp_path / "seen")
    assert len(list((tmp_path / "seen").iterdir())) == 2
