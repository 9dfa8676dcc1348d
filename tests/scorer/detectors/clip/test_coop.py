import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import torch as safetensors_torch

from imaging.rgb import RgbImage
from scorer.backbones.clip_loader import LoadedClip
from scorer.backbones.openclip import OpenClip
from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.store import StoredWeights, WeightsCard, WeightsStore
from scorer.detectors import registry
from scorer.detectors.clip.coop import Coop, CoopModel, LearnablePrompts, load
from scorer.detectors.protocol import Detector, Scores
from scorer.detectors.whole_image import WholeImageDetector
from scorer.errors import InvalidNormalSet, InvalidWeights, ModelUnavailable, UnsupportedBackbone
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from scorer.training.checkpoints import ReportStep, run_to_last_step
from scorer.training.coop.train import load_training_data, store_prompts, train_prompts
from scorer.training.coop.trainer import CoopTrainer, CoopTrainingConfig, LabelledEmbeddings, embed_queries
from scorer.training.images.dataset import NO_ORIGIN, BadTrainingData, LabelledQuery, TrainingClass
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_backbone, tiny_pixels

CPU = torch.device("cpu")
TRAINING_CONFIG = CoopTrainingConfig(context_tokens=4, steps=60, batch=16, rate=0.05, checkpoint_every=20)

pytestmark = pytest.mark.usefixtures("one_thread")


def silent(*_: object) -> None:
    """Report nothing."""


def train(trainer: CoopTrainer, checkpoint: Path, report: ReportStep) -> torch.Tensor:
    run_to_last_step(trainer, checkpoint, report)
    return trainer.learned_context()


def random_images(count: int, seed: int, size: tuple[int, int] = (24, 32)) -> list[RgbImage]:
    return list(tiny_pixels(count, seed, size).permute(0, 2, 3, 1).numpy())


def images_of_several_shapes() -> list[RgbImage]:
    return [
        random_images(1, position, size)[0] for position, size in enumerate([(24, 32), (20, 90), (70, 30), (3, 200)])
    ]


def loader(image: RgbImage) -> Callable[[], RgbImage]:
    return lambda: image


def training_class(noun: str, seed: int) -> TrainingClass:
    """Return a class of six dark, normal images and six light, anomalous ones."""
    dark, light = ([image // 4 + 190 * side for image in random_images(6, seed + side)] for side in (0, 1))
    queries = [
        LabelledQuery(loader(image), anomalous, NO_ORIGIN)
        for anomalous, images in ((False, dark), (True, light))
        for image in images
    ]
    return TrainingClass("made", noun, (noun, seed), [], queries)


@pytest.fixture(scope="module")
def towers() -> OpenClip:
    return tiny_backbone()


@pytest.fixture(scope="module")
def examples(towers: OpenClip) -> LabelledEmbeddings:
    return embed_queries([training_class("bolt", 1), training_class("metal_nut", 5)], towers, Framing(), silent)


@pytest.fixture(scope="module")
def learned(towers: OpenClip, examples: LabelledEmbeddings, tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    return train(CoopTrainer(towers, examples, TRAINING_CONFIG), tmp_path_factory.mktemp("coop") / "x.pt", silent)


@pytest.fixture(scope="module")
def model(towers: OpenClip, learned: torch.Tensor) -> CoopModel:
    card = WeightsCard("openclip", "tiny", "ours", source="here", contents="tiny")
    return CoopModel(
        LoadedClip(towers, StoredWeights(Path("tiny.safetensors"), card, "towers", 0)), learned, "words", "of the words"
    )


@pytest.fixture(scope="module")
def detector(model: CoopModel) -> Detector:
    return WholeImageDetector(Coop(model), Framing())


def assert_close(batch: Scores, position: int, single: Scores) -> None:
    np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-5, rtol=0)


def test_words_that_stand_in_for_their_own_vectors_change_no_text(towers: OpenClip) -> None:
    words, _ = towers.embed_tokens(["x x x x"])
    texts = LearnablePrompts(towers, ["bolt", "metal_nut"], 4).texts(words[:, 1:5], [0, 1])
    plain = [
        "x x x x normal bolt.",
        "x x x x anomalous bolt.",
        "x x x x normal metal nut.",
        "x x x x anomalous metal nut.",
    ]
    embedded = torch.nn.functional.normalize(towers.encode_texts(plain), dim=1).view(2, 2, -1)
    torch.testing.assert_close(texts, embedded, atol=1e-5, rtol=0)


def test_the_loss_falls_and_the_prompts_change_while_clip_stays(
    towers: OpenClip, examples: LabelledEmbeddings, learned: torch.Tensor, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in towers.network.state_dict().items()}
    training = CoopTrainer(towers, examples, TRAINING_CONFIG)
    start, first_loss = training.context.detach().clone(), training.loss()
    context = train(training, tmp_path / "x.pt", silent)
    assert training.loss() < 0.8 * first_loss
    assert not torch.allclose(context, start)
    assert torch.equal(context, learned)
    assert all(torch.equal(value, before[name]) for name, value in towers.network.state_dict().items())


def test_each_class_can_have_words_of_its_own(towers: OpenClip, examples: LabelledEmbeddings) -> None:
    config = CoopTrainingConfig(context_tokens=4, class_specific=True, steps=30, rate=0.05)
    training = CoopTrainer(towers, examples, config)
    first = training.loss()
    for _ in range(30):
        training.advance()
    assert training.context.shape == (2, 4, 16)
    assert training.loss() < first


def test_a_training_that_is_broken_off_goes_on_as_if_it_had_not_been(
    towers: OpenClip, examples: LabelledEmbeddings, learned: torch.Tensor, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "coop" / "x.pt"

    class Stopped(Exception):
        """Stands for a power failure."""

    def fail(step: int, _: float) -> None:
        if step == 47:
            raise Stopped

    with pytest.raises(Stopped):
        train(CoopTrainer(towers, examples, TRAINING_CONFIG), checkpoint, fail)
    steps: list[int] = []
    again = train(CoopTrainer(towers, examples, TRAINING_CONFIG), checkpoint, lambda step, _: steps.append(step))
    assert steps[0] == 41
    assert torch.equal(again, learned)
    assert not checkpoint.exists()


def test_a_checkpoint_of_another_recipe_or_torn_is_refused(
    towers: OpenClip, examples: LabelledEmbeddings, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "x.pt"
    CoopTrainer(towers, examples, TRAINING_CONFIG).save(checkpoint)
    with pytest.raises(InvalidWeights, match="another tag"):
        CoopTrainer(towers, examples, CoopTrainingConfig(context_tokens=4, steps=61)).resume(checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:300])
    with pytest.raises(InvalidWeights, match=r"x\.pt can't be read; remove it"):
        CoopTrainer(towers, examples, TRAINING_CONFIG).resume(checkpoint)


def test_other_seeds_learn_other_words(towers: OpenClip, examples: LabelledEmbeddings) -> None:
    first, second = (CoopTrainer(towers, examples, CoopTrainingConfig(context_tokens=4, seed=seed)) for seed in (0, 1))
    assert not torch.equal(first.context, second.context)


def test_one_class_alone_no_images_and_too_many_words_are_refused(
    towers: OpenClip, examples: LabelledEmbeddings
) -> None:
    normal = LabelledEmbeddings(examples.embedding[:6], examples.nouns[:6], examples.anomalous[:6])
    with pytest.raises(BadTrainingData, match="there is no anomalous one"):
        CoopTrainer(towers, normal, TRAINING_CONFIG)
    with pytest.raises(BadTrainingData, match="no images"):
        embed_queries([], towers, Framing(), silent)
    with pytest.raises(BadTrainingData, match="1 to 12, not 13"):
        CoopTrainer(towers, examples, CoopTrainingConfig(context_tokens=13))


def test_what_was_learned_tells_the_two_kinds_apart(detector: Detector) -> None:
    dark, light = ([image // 4 + 190 * side for image in random_images(8, 50 + side)] for side in (0, 1))
    references = detector.references(dark[:4], "bolt")
    assert np.median(detector.score(light, references).image_scores) > np.median(
        detector.score(dark[4:], references).image_scores
    )


def test_it_is_a_detector(detector: Detector) -> None:
    assert (detector.name, detector.weights_sha256) == ("coop", "of the words")
    assert len(detector.model_id) == 64


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 4), st.integers(0, 1000))
def test_a_batch_scores_as_its_images_do_one_by_one(detector: Detector, normals: int, seed: int) -> None:
    references = detector.references(random_images(normals, seed + 1), "bolt")
    queries = [*images_of_several_shapes(), *random_images(6, seed)]
    batch = detector.score(queries, references)
    for position, query in enumerate(queries):
        assert_close(batch, position, detector.score([query], references))
    features = detector.encode([detector.prepare(query) for query in queries]).take([3, 1])
    subset = detector.score_features(features, [references] * 2)
    for position, chosen in enumerate((3, 1)):
        assert_close(subset, position, detector.score([queries[chosen]], references))


def test_the_order_of_the_normals_does_not_matter(detector: Detector) -> None:
    normals = [*images_of_several_shapes(), *random_images(2, 9)]
    order = random.Random(3).sample(range(6), 6)
    before, after = detector.references(normals, "bolt"), detector.references([normals[i] for i in order], "bolt")
    assert safetensors_torch.save(dict(before.tensors)) == safetensors_torch.save(dict(after.tensors))
    assert after.normal_scores == tuple(before.normal_scores[i] for i in order)


def test_a_map_is_the_score_wherever_the_image_is(detector: Detector) -> None:
    wide = random_images(1, 2, (10, 90))
    cells = Framing().valid_mask(*wide[0].shape[:2], (24, 32), (3, 4))
    scores = detector.score(wide, detector.references(random_images(2, 1), "bolt"))
    np.testing.assert_array_equal(
        scores.anomaly_maps[0], np.where(cells, float(scores.image_scores[0]), 0).astype(np.float32)
    )
    assert 0 < cells.sum() < cells.size


@pytest.mark.parametrize("count", [0, 1, 65])
def test_too_few_and_too_many_normals_are_refused(detector: Detector, count: int) -> None:
    with pytest.raises(InvalidNormalSet, match=f"2 to 64 normal images; this set has {count}"):
        detector.references(random_images(1, 1) * count, "bolt")


def test_tiles_are_refused_with_what_to_choose(model: CoopModel) -> None:
    with pytest.raises(InvalidNormalSet, match="framing is tiles_3; choose letterbox, stretch or centre_crop"):
        WholeImageDetector(Coop(model), Framing("tiles_3")).references(random_images(2, 1), "bolt")


@pytest.fixture
def folder(tmp_path: Path) -> WeightsStore:
    folder = WeightsStore(tmp_path / "weights")
    torch.save(dict(tiny_backbone().network.state_dict()), tmp_path / "fetched.pt")
    import_file(folder, tmp_path / "fetched.pt", ImportOptions("tiny", "ours", CONFIG))
    return folder


def settings_of(folder: WeightsStore, backbone: str = "openclip/tiny", prompts: str = "") -> ScorerSettings:
    return ScorerSettings(
        engine="torch",
        detector="coop",
        backbone=backbone,
        coop_prompts=prompts,
        device="cpu",
        weights_path=folder.path,
        precision="fp32",
    )


def test_learned_words_are_kept_listed_and_loaded(
    folder: WeightsStore, detector: Detector, learned: torch.Tensor
) -> None:
    words = store_prompts(folder, folder.tower("tiny"), "bolts", learned, ["elpv", "aliens", "elpv"])
    assert (words.card.name, words.card.kind, words.card.source) == ("coop:bolts", "coop-prompts", "aliens, elpv")
    assert words.card.backbone == "tiny:ours"
    assert [weights.card.name for weights in folder.list_all()] == ["coop:bolts", "tiny:ours"]
    loaded = registry.load(settings_of(folder), Framing())
    assert loaded.weights_sha256 == words.sha256
    normals, queries = random_images(2, 1), random_images(3, 2)
    expected = detector.score(queries, detector.references(normals, "bolt")).image_scores
    np.testing.assert_allclose(loaded.score(queries, loaded.references(normals, "bolt")).image_scores, expected)
    stretched = WholeImageDetector(load(settings_of(folder, prompts="bolts")), Framing("stretch"))
    assert stretched.method.model is loaded.method.model  # type: ignore[attr-defined]


def test_learning_takes_the_kept_clip_and_keeps_what_was_learned(folder: WeightsStore) -> None:
    seen: list[int] = []
    steps: list[int] = []
    classes = [training_class("bolt", 1), training_class("metal_nut", 5)]
    config = CoopTrainingConfig(context_tokens=4, steps=5)
    data = load_training_data(settings_of(folder), Framing(), classes, seen.append)
    words = train_prompts(data, config, "bolts", folder, lambda step, _: steps.append(step))
    assert (words.card.name, words.card.backbone, words.card.source) == ("coop:bolts", "tiny:ours", "made")
    assert (seen[-1], steps) == (24, [1, 2, 3, 4, 5])
    assert registry.load(settings_of(folder), Framing()).weights_sha256 == words.sha256
    with pytest.raises(
        UnsupportedBackbone, match="detector coop compares images with texts, and the backbone andon-tiny"
    ):
        load_training_data(settings_of(folder, "andon-tiny"), Framing(), classes, silent)
    with pytest.raises(InvalidWeights, match=r"'../bolts' is no tag"):
        train_prompts(data, config, "../bolts", folder, silent)
    assert not list(folder.path.rglob("*.checkpoint"))


def test_where_nothing_was_learned_it_says_how_to(folder: WeightsStore, learned: torch.Tensor) -> None:
    with pytest.raises(ModelUnavailable, match=r"no CoOp prompts for tiny:ours in .* run andon train coop"):
        registry.load(settings_of(folder), Framing())
    for tag in ("bolts", "nuts"):
        store_prompts(folder, folder.tower("tiny"), tag, learned, [])
    with pytest.raises(ModelUnavailable, match=r"has coop:bolts, coop:nuts for tiny:ours; .* scorer\.coop_prompts"):
        registry.load(settings_of(folder), Framing())
    with pytest.raises(ModelUnavailable, match=r"no CoOp prompts pins .*\(there are coop:bolts, coop:nuts\)"):
        registry.load(settings_of(folder, prompts="pins"), Framing())


def test_a_backbone_without_a_text_tower_is_refused_with_what_to_set(folder: WeightsStore) -> None:
    with pytest.raises(
        UnsupportedBackbone, match=r"detector coop .* andon-tiny has no text tower; set scorer\.backbone to"
    ):
        registry.load(settings_of(folder, "andon-tiny"), Framing())


def test_words_of_another_width_and_of_another_kind_are_refused(folder: WeightsStore, learned: torch.Tensor) -> None:
    store_prompts(folder, folder.tower("tiny"), "bolts", torch.zeros(1, 4, 20), [])
    with pytest.raises(InvalidWeights, match=r"does not fit tiny: context is 1×4×20, where .* 16 wide are needed"):
        registry.load(settings_of(folder), Framing())
    words = store_prompts(folder, folder.tower("tiny"), "bolts", learned, [])
    folder.put(words.card, {"ctx": learned})
    with pytest.raises(InvalidWeights, match="holds ctx"):
        registry.load(settings_of(folder), Framing())


def test_a_truncated_file_is_refused(folder: WeightsStore, learned: torch.Tensor) -> None:
    words = store_prompts(folder, folder.tower("tiny"), "bolts", learned, [])
    words.path.write_bytes(words.path.read_bytes()[:-5])
    with pytest.raises(InvalidWeights, match=r"coop\.bolts\.safetensors is cut short"):
        registry.load(settings_of(folder), Framing())
