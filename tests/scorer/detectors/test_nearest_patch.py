"""Nearest patch on the filterbank: its scores, and what must not change them."""

import itertools
import math
import random

import numpy as np
import pytest
import torch

from scorer.backbones.filterbank import Filterbank
from scorer.detectors.nearest_patch import NearestPatch
from scorer.detectors.patch_based.detector import PatchDetector
from scorer.detectors.patch_based.patches import Patches
from scorer.detectors.registry import load
from scorer.errors import InvalidNormalSet, ModelUnavailable, UnknownDetector
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def detector() -> PatchDetector:
    return PatchDetector(NearestPatch(), Filterbank(torch.device("cpu")), Framing("letterbox"))


def images_of_several_shapes() -> list[np.ndarray]:
    return [part(1), part(2, size=(64, 96)), part(3, defect=True, size=(300, 200)), part(4, size=(20, 200))]


def test_a_defect_scores_above_good_parts_and_is_localised(detector: PatchDetector) -> None:
    references = detector.references([part(number) for number in range(4)], "part")
    good = detector.score([part(number) for number in range(10, 20)], references)
    bad = detector.score([part(number, defect=True) for number in range(20, 25)], references)
    assert bad.image_scores.min() > 2 * good.image_scores.max()
    row, column = np.unravel_index(int(bad.anomaly_maps[0].argmax()), bad.anomaly_maps[0].shape)
    assert abs(row - 7.5) <= 3
    assert abs(column - 7.5) <= 3


def test_a_stain_of_equal_brightness_is_detected_by_colour(detector: PatchDetector) -> None:
    references = detector.references([part(number) for number in range(4)], "part")
    stained = part(30)
    red = stained.astype(int)
    red[20:40, 20:40] += np.array([40, -20, -2])  # luma stays: .299 × 40 - .587 × 20 - .114 × 2 = 0
    scores = detector.score([stained, red.clip(0, 255).astype(np.uint8)], references).image_scores
    assert scores[1] > 2 * scores[0]


def test_batch_scores_equal_single_scores(detector: PatchDetector) -> None:
    references = detector.references([part(number, size=(64, 80)) for number in range(3)], "part")
    batch = detector.score(images_of_several_shapes(), references)
    for position, image in enumerate(images_of_several_shapes()):
        single = detector.score([image], references)
        np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-5, rtol=0)
        np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-5, rtol=0)
    assert batch.image_scores.dtype == batch.anomaly_maps.dtype == np.float32


def test_the_order_of_the_normals_does_not_matter(detector: PatchDetector) -> None:
    normals = [part(number, size=(64, 64 + 8 * number)) for number in range(5)]
    shuffled = random.Random(3).sample(range(5), 5)
    first = detector.references(normals, "part")
    second = detector.references([normals[position] for position in shuffled], "part")
    assert [first.normal_scores[position] for position in shuffled] == list(second.normal_scores)
    assert np.array_equal(
        detector.score(images_of_several_shapes(), first).image_scores,
        detector.score(images_of_several_shapes(), second).image_scores,
    )


def test_a_normal_scores_zero_against_its_own_set_but_not_leave_one_out(detector: PatchDetector) -> None:
    normals = [part(number) for number in range(3)]
    references = detector.references(normals, "part")
    assert detector.score(normals, references).image_scores.max() < 1e-5
    assert min(references.normal_scores) > 1e-4


def test_aligned_parts_are_searched_in_a_window_and_others_everywhere(detector: PatchDetector) -> None:
    def part_with_dot(number: int, row: int, column: int) -> np.ndarray:
        image = part(number, size=(256, 256))
        image[row : row + 40, column : column + 40] = 20
        return image

    aligned = detector.references([part_with_dot(number, 100, 100) for number in range(4)], "part")
    corners = [(10, 10), (10, 200), (200, 10), (120, 120)]
    scattered = detector.references([part_with_dot(number, *corner) for number, corner in enumerate(corners)], "part")
    assert int(aligned.tensors["window"]) == 2
    assert int(scattered.tensors["window"]) == 0


@pytest.fixture
def always_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every set count as aligned, so that it is searched in windows of two cells."""
    monkeypatch.setattr("scorer.detectors.nearest_patch.ALIGNED_RATIO", math.inf)


@pytest.mark.parametrize("grid", [(6, 6), (4, 9)])
def test_window_search_equals_full_search_within_the_window(grid: tuple[int, int], always_aligned: None) -> None:
    rows, columns = grid
    normals, queries = patches(3, grid, seed=1), patches(2, grid, seed=2)
    normals.valid_mask[0, : 2 * columns] = False
    normals.valid_mask[1, 3] = normals.valid_mask[2, 0] = False
    fitted = dict(NearestPatch().fit(normals))
    maps = NearestPatch().score(queries, fitted).maps
    unit = torch.nn.functional.normalize
    for query, cell in itertools.product(range(2), range(rows * columns)):
        expected = torch.zeros(())
        for layer, weight in enumerate(fitted["layer_weights"]):
            cosines = [
                float(
                    unit(queries.tokens[layer, query, cell], dim=0) @ unit(normals.tokens[layer, k, other_cell], dim=0)
                )
                for k, other_cell in itertools.product(range(3), range(rows * columns))
                if normals.valid_mask[k, other_cell]
                and abs(cell // columns - other_cell // columns) <= 2
                and abs(cell % columns - other_cell % columns) <= 2
            ]
            expected += weight * (1 - max(cosines)) / 2 / len(fitted["layer_weights"])
        assert float(maps[query, cell]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("windows", [(2, 2, 2), (2, 0, 2), (0, 0, 0)])
@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 1, 3)])
def test_a_batch_of_several_stations_scores_like_each_station_alone(
    windows: tuple[int, ...], counts: tuple[int, ...], always_aligned: None
) -> None:
    fitted = []
    for station, window in enumerate(windows):
        normals = patches((3, 4, 3)[station], (8, 8), seed=station)
        normals.valid_mask[:, : 8 * station] = False
        fitted.append(dict(NearestPatch().fit(normals)) | {"window": torch.tensor(window)})
    queries = patches(sum(counts), (8, 8), seed=9)
    queries.valid_mask[-1, -16:] = False
    batch = NearestPatch().score_groups(queries, list(zip(counts, fitted, strict=True)))
    of_stations = [station for station, count in enumerate(counts) for _ in range(count)]
    for position, station in enumerate(of_stations):
        single = NearestPatch().score(queries.take([position]), fitted[station])
        torch.testing.assert_close(batch.maps[position], single.maps[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(batch.image[position], single.image[0], atol=1e-6, rtol=0)


def test_an_empty_window_falls_back_to_the_full_search(always_aligned: None) -> None:
    normals, query = patches(3, (8, 8), seed=1), patches(1, (8, 8), seed=2)
    normals.valid_mask[:, : 5 * 8] = False
    fitted = dict(NearestPatch().fit(normals))
    anywhere = NearestPatch().score(query, fitted | {"window": torch.tensor(0)}).maps
    near = NearestPatch().score(query, fitted).maps
    torch.testing.assert_close(near[0, : 3 * 8], anywhere[0, : 3 * 8])
    assert (near[0, 3 * 8 :] > anywhere[0, 3 * 8 :] + 1e-4).any()


def patches(count: int, grid: tuple[int, int], seed: int) -> Patches:
    generator = torch.Generator().manual_seed(seed)
    cells = grid[0] * grid[1]
    tokens = torch.randn(2, count, cells, 12, generator=generator)
    return Patches(tokens, torch.ones(count, cells, dtype=torch.bool), grid)


def test_letterbox_padding_is_ignored(detector: PatchDetector) -> None:
    wide = [part(number, size=(40, 160)) for number in range(4)]
    references = detector.references(wide[:3], "part")
    scores = detector.score(wide[3:], references)
    valid_mask = Framing("letterbox").valid_mask(*wide[3].shape[:2], (256, 256), (16, 16))
    assert valid_mask.sum() == 4 * 16
    assert (scores.anomaly_maps[0][~valid_mask] == 0).all()


def test_references_contain_no_padding(detector: PatchDetector) -> None:
    references = detector.references([part(number, size=(40, 160)) for number in range(2)], "part")
    assert references.tensors["layer 0"].shape[:3] == (4, 2, 16)
    assert references.tensors["origin"].tolist() == [6, 0]


def test_the_model_id_depends_on_the_framing() -> None:
    device = torch.device("cpu")
    ids = [
        PatchDetector(NearestPatch(), Filterbank(device), Framing(kind)).model_id
        for kind in ("stretch", "stretch", "letterbox")
    ]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 64


@pytest.mark.parametrize("count", [0, 1, 65])
def test_a_set_of_another_size_is_refused(detector: PatchDetector, count: int) -> None:
    with pytest.raises(InvalidNormalSet, match=rf"\b{count}\b"):
        detector.references([part(number) for number in range(count)], "part")


def test_uniform_images_have_finite_scores(detector: PatchDetector) -> None:
    flat = [np.full((64, 64, 3), grey, np.uint8) for grey in (0, 128, 255)]
    references = detector.references(flat, "part")
    assert np.isfinite(detector.score([*flat, part(1)], references).image_scores).all()


def test_the_registry_loads_by_name() -> None:
    assert (
        load(ScorerSettings(detector="nearest-patch", device="cpu", engine="torch"), Framing()).name == "nearest-patch"
    )
    with pytest.raises(UnknownDetector, match="nearest-patch"):
        load(ScorerSettings(detector="crystal-ball"), Framing())


def test_a_missing_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelUnavailable, match=r"scorer\.device"):
        load(ScorerSettings(device="cuda"), Framing())
