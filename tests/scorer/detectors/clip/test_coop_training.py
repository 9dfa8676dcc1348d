"""Training of CoOp's prompts: the loss falls, CLIP stays, and a training resumes."""

from pathlib import Path

import pytest
import torch

from scorer.backbones.openclip import OpenClip
from scorer.detectors.clip.coop import LearnablePrompts
from scorer.errors import InvalidWeights
from scorer.imaging.framing import Framing
from scorer.training.coop.trainer import CoopTrainer, CoopTrainingConfig, LabelledEmbeddings, embed_queries
from scorer.training.images.dataset import BadTrainingData
from tests.scorer.detectors.clip.coop_training import TRAINING_CONFIG, ignore_progress, train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_prompts_of_token_embeddings_equal_prompts_of_text(towers: OpenClip) -> None:
    prompts, _ = towers.embed_tokens(["x x x x"])
    texts = LearnablePrompts(towers, ["bolt", "metal_nut"], 4).texts(prompts[:, 1:5], [0, 1])
    plain = [
        "x x x x normal bolt.",
        "x x x x anomalous bolt.",
        "x x x x normal metal nut.",
        "x x x x anomalous metal nut.",
    ]
    embedded = torch.nn.functional.normalize(towers.encode_texts(plain), dim=1).view(2, 2, -1)
    torch.testing.assert_close(texts, embedded, atol=1e-5, rtol=0)


def test_the_loss_falls_and_the_prompts_change_while_clip_stays(
    towers: OpenClip, examples: LabelledEmbeddings, learned_context: torch.Tensor, tmp_path: Path
) -> None:
    initial = {name: value.clone() for name, value in towers.network.state_dict().items()}
    training = CoopTrainer(towers, examples, TRAINING_CONFIG)
    start, first_loss = training.context.detach().clone(), training.loss()
    context = train(training, tmp_path / "x.pt", ignore_progress)
    assert training.loss() < 0.8 * first_loss
    assert not torch.allclose(context, start)
    assert torch.equal(context, learned_context)
    assert all(torch.equal(value, initial[name]) for name, value in towers.network.state_dict().items())


def test_each_class_can_have_its_own_context(towers: OpenClip, examples: LabelledEmbeddings) -> None:
    config = CoopTrainingConfig(context_tokens=4, class_specific=True, steps=30, rate=0.05)
    training = CoopTrainer(towers, examples, config)
    first = training.loss()
    for _ in range(30):
        training.advance()
    assert training.context.shape == (2, 4, 16)
    assert training.loss() < first


def test_a_resumed_training_equals_an_uninterrupted_one(
    towers: OpenClip, examples: LabelledEmbeddings, learned_context: torch.Tensor, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "coop" / "x.pt"

    class Interrupted(Exception):
        """Stands for a power failure."""

    def interrupt_at_47(step: int, _: float) -> None:
        if step == 47:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(CoopTrainer(towers, examples, TRAINING_CONFIG), checkpoint, interrupt_at_47)
    steps: list[int] = []
    resumed = train(CoopTrainer(towers, examples, TRAINING_CONFIG), checkpoint, lambda step, _: steps.append(step))
    assert steps[0] == 41
    assert torch.equal(resumed, learned_context)
    assert not checkpoint.exists()


def test_a_torn_checkpoint_or_one_of_another_training_is_refused(
    towers: OpenClip, examples: LabelledEmbeddings, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "x.pt"
    CoopTrainer(towers, examples, TRAINING_CONFIG).save(checkpoint)
    with pytest.raises(InvalidWeights):
        CoopTrainer(towers, examples, CoopTrainingConfig(context_tokens=4, steps=61)).resume(checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:300])
    with pytest.raises(InvalidWeights, match=r"x\.pt"):
        CoopTrainer(towers, examples, TRAINING_CONFIG).resume(checkpoint)


def test_other_seeds_start_from_another_context(towers: OpenClip, examples: LabelledEmbeddings) -> None:
    first, second = (CoopTrainer(towers, examples, CoopTrainingConfig(context_tokens=4, seed=seed)) for seed in (0, 1))
    assert not torch.equal(first.context, second.context)


def test_unusable_training_data_is_refused(towers: OpenClip, examples: LabelledEmbeddings) -> None:
    normal = LabelledEmbeddings(examples.embedding[:6], examples.nouns[:6], examples.anomalous[:6])
    with pytest.raises(BadTrainingData):
        CoopTrainer(towers, normal, TRAINING_CONFIG)
    with pytest.raises(BadTrainingData):
        embed_queries([], towers, Framing(), ignore_progress)
    with pytest.raises(BadTrainingData, match="13"):
        CoopTrainer(towers, examples, CoopTrainingConfig(context_tokens=13))
