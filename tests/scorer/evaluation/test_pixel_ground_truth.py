"""Masks become regions, and maps are scored against them in the coordinates of the image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scorer.evaluation.datasets import read_dataset
from scorer.evaluation.errors import EvaluationError
from scorer.evaluation.pixel_ground_truth import evaluate_maps, label_regions, read_ground_truth, resize_map_to_image
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from tests.scorer.evaluation.dataset_folder import write_dataset

LIMITS = ScorerSettings()


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    mask = np.zeros((6, 6), bool)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = True
    assert label_regions(mask).max() == 2
    assert label_regions(mask)[0, 0] == label_regions(mask)[1, 1]


def test_a_large_mask_is_reduced_without_losing_a_region() -> None:
    mask = np.zeros((2048, 1024), bool)
    mask[800:1200, 300:700] = True
    mask[9, 17] = True  # a pinhole between two pixel centres
    regions = label_regions(mask)
    assert regions.shape == (256, 128)
    assert set(np.unique(regions)) == {0, 1, 2}
    assert regions[1, 2] == 1
    assert (regions == 2).sum() == 50 * 50


def test_a_map_is_resized_to_the_whole_image_without_its_padding() -> None:
    framed = np.zeros((16, 16), np.float32)
    framed[8:, :] = 1  # the lower half of a wide image in a square frame
    values = resize_map_to_image(framed, Framing("letterbox"), (100, 200), (100, 200))
    assert values.shape == (100, 200)
    assert (values[:40] == 0).all()
    assert (values[60:] == 1).all()
    assert (np.diff(values[:, 7]) >= 0).all()


def test_a_map_that_is_high_in_the_blot_detects_the_blot(tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "parts"))
    ground_truth = read_ground_truth(dataset, LIMITS)
    assert ground_truth is not None
    low, high = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    high[6:10, 6:10] = 1
    maps = [low] * len(dataset.good) + [high] * len(dataset.bad)
    metrics = evaluate_maps(maps, Framing("letterbox"), ground_truth)
    assert metrics.auroc > 0.98
    assert metrics.aupro > 0.9
    constant = evaluate_maps([low] * len(maps), Framing("letterbox"), ground_truth)
    assert constant.auroc == pytest.approx(0.5)


def test_an_anomaly_without_its_mask_is_skipped_and_a_dataset_without_masks_has_no_ground_truth(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "parts")
    (folder / "ground_truth" / "blot" / "001_mask.png").unlink()
    ground_truth = read_ground_truth(read_dataset(folder), LIMITS)
    assert ground_truth is not None
    assert sorted(ground_truth.regions) == [0, 1, 2, 3, 4, 5, 7, 8]
    assert read_ground_truth(read_dataset(write_dataset(tmp_path / "bare", masks=False)), LIMITS) is None


def test_a_mask_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "parts")
    Image.new("L", (10, 10)).save(folder / "ground_truth" / "blot" / "000_mask.png")
    with pytest.raises(EvaluationError, match=r"000_mask\.png"):
        read_ground_truth(read_dataset(folder), LIMITS)
