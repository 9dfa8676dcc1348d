"""Training classes are read from labelled folders and from photographs."""

from pathlib import Path

import numpy as np
import pytest

from scorer.imaging.framing import Framing
from scorer.training.images.dataset import (
    NO_ORIGIN,
    VIEWS_PER_CLASS,
    BadTrainingData,
    DatasetLimits,
    read_labelled_set,
    synthetic_classes,
)
from scorer.training.inctrl.episodes import (
    encode_class,
    sample_episodes,
)
from scorer.training.inctrl.frozen_backbones import FrozenClipBackbone
from testing.line import encoded, part
from tests.scorer.backbones.tiny_clip import tiny_inctrl
from tests.scorer.training.labelled_set import write_labelled_set

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_class_is_read_from_its_folder(tmp_path: Path) -> None:
    limits = DatasetLimits(prompts=3, synthetic=4)
    bolts = read_labelled_set(write_labelled_set(tmp_path / "blue_bolts", normals=5), limits, seed=0)
    assert (bolts.source, bolts.noun) == ("blue_bolts", "blue bolts")
    assert len(bolts.prompts) == 3
    assert [query.anomalous for query in bolts.queries] == [False] * 7 + [True] * 6
    assert [query.origin for query in bolts.queries] == [0, 1, 2, *[NO_ORIGIN] * 6, 0, 1, 2, NO_ORIGIN]
    for query in bolts.queries:
        if query.origin != NO_ORIGIN and not query.anomalous:
            assert (query.read() == bolts.prompts[query.origin]()).all()


def test_a_folder_without_anomalies_is_enough(tmp_path: Path) -> None:
    folder = write_labelled_set(tmp_path / "bolts", test=0, defects=0)
    bolts = read_labelled_set(folder, DatasetLimits(synthetic=5), seed=0)
    assert sum(query.anomalous for query in bolts.queries) == 5
    with pytest.raises(BadTrainingData):
        read_labelled_set(folder, DatasetLimits(synthetic=0), seed=0)


def test_folders_that_cannot_be_trained_on_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="train/good"):
        read_labelled_set(tmp_path, DatasetLimits(), seed=0)
    with pytest.raises(BadTrainingData, match="one"):
        read_labelled_set(write_labelled_set(tmp_path / "one", normals=1), DatasetLimits(), seed=0)
    with pytest.raises(BadTrainingData, match=tmp_path.name):
        next(synthetic_classes(tmp_path, 1, seed=0))
    with pytest.raises(BadTrainingData):
        sample_episodes({}, 2, 2, np.random.default_rng(0))
    (tmp_path / "one" / "train" / "good" / "torn.png").write_bytes(encoded(part(1))[:200])
    with_torn_image = read_labelled_set(tmp_path / "one", DatasetLimits(), seed=0)
    with pytest.raises(BadTrainingData, match=r"torn\.png"):
        encode_class(FrozenClipBackbone(tiny_inctrl(), Framing()), with_torn_image)


def test_photographs_become_classes_of_one_crop_each(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encoded(part(number, size=(80, 90))))
    first, second = synthetic_classes(tmp_path, 2, seed=0)
    assert len(first.prompts) == VIEWS_PER_CLASS
    assert sum(query.anomalous for query in first.queries) == VIEWS_PER_CLASS
    images = [read() for read in first.prompts]
    assert all(image.shape == (256, 256, 3) for image in images)
    assert (images[0] != images[1]).any()
    assert (first.prompts[0]() == images[0]).all()
    assert first.digest != second.digest
