"""The regions of a map: a frame that exceeds its limit always has one, where its map is highest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scorer.imaging.contours import MAX_POINTS, enclosed_area, outer_contour, simplified
from scorer.imaging.regions import MAX_REGIONS, contour_level, find_regions
from storage.blobs.anomaly_maps import AnomalyMap

MAPS = arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.floats(0, 4, width=32))


def block(top: int, bottom: int, left: int, right: int, value: float = 1.0) -> AnomalyMap:
    """A map of 20 rows and 30 columns that is 0 but for one block."""
    anomaly_map = np.zeros((20, 30), np.float32)
    anomaly_map[top:bottom, left:right] = value
    return anomaly_map


def test_a_block_gets_its_box_its_share_and_its_place() -> None:
    (region,) = find_regions(block(14, 18, 3, 9), 0.5)
    assert region.place == "lower-left"
    assert region.box == pytest.approx((0.1, 0.7, 0.3, 0.9), abs=0.001)
    assert region.share == pytest.approx(6 * 4 / 600, rel=0.1)
    assert 3 <= len(region.outline) <= MAX_POINTS


def test_a_region_at_the_edge_reaches_the_edge() -> None:
    (region,) = find_regions(block(0, 3, 0, 30), 0.5)
    assert region.box == pytest.approx((0, 0, 1, 0.15), abs=0.001)
    assert region.place == "upper"


def test_most_of_the_picture_has_no_place_in_it() -> None:
    (region,) = find_regions(block(0, 19, 0, 30), 0.5)
    assert region.place == "everywhere"


def test_the_highest_peak_comes_first_and_the_number_is_limited() -> None:
    anomaly_map = np.zeros((20, 30), np.float32)
    anomaly_map[1::4, 1::4] = 1
    anomaly_map[13, 25] = 2
    regions = find_regions(anomaly_map, 0.5)
    assert len(regions) == MAX_REGIONS
    assert regions[0].place == "lower-right"


def test_a_hole_does_not_cut_its_region_open() -> None:
    ring = block(4, 16, 6, 24)
    ring[8:12, 12:18] = 0
    (region,) = find_regions(ring, 0.5)
    assert region.box == pytest.approx((0.2, 0.2, 0.8, 0.8), abs=0.001)


def test_cells_without_a_value_belong_to_no_region() -> None:
    anomaly_map = block(5, 15, 5, 15)
    anomaly_map[:, 10:] = np.nan
    (region,) = find_regions(anomaly_map, 0.5)
    assert region.box[2] <= 10 / 30


@given(
    anomaly_map=MAPS, pooled=st.sampled_from(["mean of the farthest", "maximum", "another unit"]), share=st.floats(0, 1)
)
def test_a_frame_above_its_limit_has_a_region_with_the_peak(anomaly_map: AnomalyMap, pooled: str, share: float) -> None:
    farthest = np.sort(anomaly_map.astype(np.float64), axis=None)[-max(1, round(anomaly_map.size * 0.03)) :]
    score = {"mean of the farthest": farthest.mean(), "maximum": farthest.max(), "another unit": 7.5}[pooled]
    limit = 0.999 * share * score
    level = contour_level(anomaly_map, float(score), float(limit))
    if anomaly_map.max() == anomaly_map.min():
        assert level is None  # a flat map tells no place
        return
    assert level is not None
    assert level < anomaly_map.max()
    first, *_ = find_regions(anomaly_map, level)
    row, column = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
    boxes = [region.box for region in find_regions(anomaly_map, level)]
    x, y = (column + 0.5) / anomaly_map.shape[1], (row + 0.5) / anomaly_map.shape[0]
    assert any(
        left - 0.001 <= x <= right + 0.001 and top - 0.001 <= y <= bottom + 0.001 for left, top, right, bottom in boxes
    )
    assert all(0 <= value <= 1 for point in first.outline for value in point)


def test_a_pooled_score_is_contoured_at_its_limit_and_another_one_in_proportion() -> None:
    anomaly_map = block(0, 6, 0, 10, 2.0)
    assert contour_level(anomaly_map, 2.0, 1.2) == 1.2
    assert contour_level(anomaly_map, 20.0, 12.0) == pytest.approx(1.2)


def test_a_contour_is_interpolated_between_cells() -> None:
    values = np.zeros((5, 5))
    values[2, 2] = 1.0
    near, far = (enclosed_area(outer_contour(values, level)) for level in (0.9, 0.1))
    assert near < 0.1 < far


@given(st.integers(3, 400), st.floats(0.01, 3))
def test_a_simplified_circle_keeps_its_area(points: int, radius: float) -> None:
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    kept = simplified(circle, 0.01 * radius)
    assert 3 <= len(kept) <= MAX_POINTS
    assert enclosed_area(kept) == pytest.approx(enclosed_area(circle), rel=0.1)
