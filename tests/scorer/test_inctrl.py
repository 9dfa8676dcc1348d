import dataclasses

import pytest
import torch

from scorer.detectors.inctrl import Context, InCtrl, Reading, blocks_of
from scorer.errors import ModelUnavailable
from scorer.prompts import prompts
from tests.scorer import inctrl_by_hand as by_hand
from tests.scorer.tiny_clip import BLOCKS, tiny_inctrl, tiny_pixels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> InCtrl:
    return tiny_inctrl()


@pytest.fixture(scope="module")
def context(model: InCtrl) -> Context:
    return model.context(model.encode(tiny_pixels(3, seed=1)), "cat")


def outputs(reading: Reading) -> dict[str, torch.Tensor]:
    return {field.name: getattr(reading, field.name) for field in dataclasses.fields(reading)}


def test_every_output_is_what_plain_loops_over_the_paper_give(model: InCtrl, context: Context) -> None:
    tensors, learned = by_hand.doubles(model.backbone.network.state_dict()), by_hand.doubles(model.heads.state_dict())
    queries, normals = tiny_pixels(2, seed=2), tiny_pixels(3, seed=1)

    def encoded(pixels: torch.Tensor) -> by_hand.Image:
        return by_hand.image_tower(pixels, tensors, patch=8, heads=2, wanted=BLOCKS)

    asked, tokenizer = prompts("cat"), model.backbone._tokenizer()
    texts = tuple(
        [by_hand.text_tower(ids, tensors, heads=2) for ids in tokenizer(list(side)).tolist()]
        for side in (asked.normal, asked.anomaly)
    )
    expected = [by_hand.reading(encoded(query), [encoded(one) for one in normals], texts, learned) for query in queries]
    found = outputs(model.read(model.encode(queries), context))
    assert 0.01 < float(found["text_score"][0]) < 0.99, "a saturated score pins nothing"
    for name, values in found.items():
        by_loops = torch.stack([one[name] for one in expected]).float()
        torch.testing.assert_close(values, by_loops, atol=1e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_a_thing_is_compared_with_the_mean_of_its_ensemble(model: InCtrl) -> None:
    asked = prompts("metal nut")
    sides = []
    for side in (asked.normal, asked.anomaly):
        embedded = model.backbone.encode_texts(side)
        mean = torch.stack([one / one.norm() for one in embedded]).mean(dim=0)
        sides.append(mean / mean.norm())
    torch.testing.assert_close(model.texts("metal_nut"), torch.stack(sides), atol=1e-6, rtol=0)


def test_a_batch_reads_as_its_images_do_one_by_one(model: InCtrl, context: Context) -> None:
    queries = tiny_pixels(9, seed=3)
    batch = outputs(model.read(model.encode(queries), context))
    singles = [outputs(model.read(model.encode(query[None]), context)) for query in queries]
    for name, values in batch.items():
        torch.testing.assert_close(values, torch.cat([one[name] for one in singles]), atol=1e-5, rtol=0)


def test_one_normal_is_enough_for_the_model(model: InCtrl) -> None:
    normal = model.encode(tiny_pixels(1, seed=1))
    reading = model.read(normal, model.context(normal, "bolt"))
    torch.testing.assert_close(reading.patch_residual_map, torch.zeros(1, 12), atol=1e-6, rtol=0)


def test_texts_are_embedded_once_a_noun(model: InCtrl) -> None:
    assert model.texts("washer") is model.texts("washer")


def test_the_published_blocks_are_taken_and_their_shares_of_a_shorter_tower() -> None:
    assert blocks_of(12) == blocks_of(24) == (7, 9, 11)
    assert blocks_of(6) == (3, 4, 6)
    assert blocks_of(3) == (1, 2, 3)
    with pytest.raises(ModelUnavailable, match="has 2 in all"):
        blocks_of(2)
