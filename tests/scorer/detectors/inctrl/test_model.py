import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch

from scorer.detectors.clip.prompts import prompt_ensemble
from scorer.detectors.inctrl.model import InCtrlModel, InCtrlScores, NormalContext, compared_blocks
from scorer.errors import ModelUnavailable
from tests.scorer.backbones.tiny_clip import BLOCKS, tiny_inctrl, tiny_pixels
from tests.scorer.detectors.inctrl import one_query_at_a_time as by_hand

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> InCtrlModel:
    return tiny_inctrl()


@pytest.fixture(scope="module")
def context(model: InCtrlModel) -> NormalContext:
    return model.context(model.encode(tiny_pixels(3, seed=1)), "cat")


def outputs(scores: InCtrlScores) -> dict[str, torch.Tensor]:
    return {field.name: getattr(scores, field.name) for field in dataclasses.fields(scores)}


def prefix_message(output: str) -> Callable[[str], str]:
    """Return a function that puts the name of the output before a message."""
    return lambda message: f"{output}: {message}"


def test_every_output_equals_plain_loops_over_the_papers_equations(model: InCtrlModel, context: NormalContext) -> None:
    tensors, learned = (
        by_hand.to_float64(model.backbone.network.state_dict()),
        by_hand.to_float64(model.heads.state_dict()),
    )
    queries, normals = tiny_pixels(2, seed=2), tiny_pixels(3, seed=1)

    def encoded(pixels: torch.Tensor) -> by_hand.Image:
        return by_hand.image_tower(pixels, tensors, patch=8, heads=2, returned_blocks=BLOCKS)

    def embedded(texts: Sequence[str]) -> list[torch.Tensor]:
        return [by_hand.text_tower(ids, tensors, heads=2) for ids in model.backbone._tokenizer()(list(texts)).tolist()]

    prompts = prompt_ensemble("cat")
    texts = (embedded(prompts.normal), embedded(prompts.anomaly))
    expected = [
        by_hand.inctrl_scores(encoded(query), [encoded(normal) for normal in normals], texts, learned)
        for query in queries
    ]
    found = outputs(model.score(model.encode(queries), context))
    assert 0.01 < float(found["text_score"][0]) < 0.99, "a saturated score pins nothing"
    for name, values in found.items():
        by_loops = torch.stack([scores[name] for scores in expected]).float()
        torch.testing.assert_close(values, by_loops, atol=1e-5, rtol=0, msg=prefix_message(name))


def test_text_embeddings_are_the_means_of_the_prompt_ensemble(model: InCtrlModel) -> None:
    prompts = prompt_ensemble("metal nut")
    sides = []
    for side in (prompts.normal, prompts.anomaly):
        embedded = model.backbone.encode_texts(side)
        mean = torch.stack([text / text.norm() for text in embedded]).mean(dim=0)
        sides.append(mean / mean.norm())
    torch.testing.assert_close(model.texts("metal_nut"), torch.stack(sides), atol=1e-6, rtol=0)


def test_outputs_of_a_batch_equal_those_of_its_images(model: InCtrlModel, context: NormalContext) -> None:
    queries = tiny_pixels(9, seed=3)
    batch = outputs(model.score(model.encode(queries), context))
    singles = [outputs(model.score(model.encode(query[None]), context)) for query in queries]
    for name, values in batch.items():
        torch.testing.assert_close(values, torch.cat([single[name] for single in singles]), atol=1e-5, rtol=0)


def test_one_normal_is_enough_for_the_model(model: InCtrlModel) -> None:
    normal = model.encode(tiny_pixels(1, seed=1))
    scores = model.score(normal, model.context(normal, "bolt"))
    torch.testing.assert_close(scores.patch_residual_map, torch.zeros(1, 12), atol=1e-6, rtol=0)


def test_texts_are_embedded_once_per_noun(model: InCtrlModel) -> None:
    assert model.texts("washer") is model.texts("washer")


def test_published_blocks_are_scaled_to_a_shorter_tower() -> None:
    assert compared_blocks(12) == compared_blocks(24) == (7, 9, 11)
    assert compared_blocks(6) == (3, 4, 6)
    assert compared_blocks(3) == (1, 2, 3)
    with pytest.raises(ModelUnavailable, match="2"):
        compared_blocks(2)
