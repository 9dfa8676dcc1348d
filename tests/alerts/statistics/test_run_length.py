"""Average run lengths against published tables, and against simulation."""

import numpy as np
import pytest

from alerts.statistics import run_length


@pytest.mark.parametrize(
    ("limit", "published"),
    [
        (4, {0: 168, 0.25: 74.2, 0.5: 26.6, 0.75: 13.3, 1: 8.38, 1.5: 4.75, 2: 3.34, 2.5: 2.62, 3: 2.19, 4: 1.71}),
        (5, {0: 465, 0.25: 139, 0.5: 38.0, 0.75: 17.0, 1: 10.4, 1.5: 5.75, 2: 4.01, 2.5: 3.11, 3: 2.57, 4: 2.01}),
    ],
)
def test_cusum_run_lengths_equal_montgomery_table_9_3(limit: float, published: dict[float, float]) -> None:
    for shift, length in published.items():
        assert run_length.cusum(shift, 0.5, limit) == pytest.approx(length, rel=0.005)


def test_siegmunds_approximation_equals_montgomery_9_1_4() -> None:
    # Montgomery 9.1.4: h = 5, k = 1/2: ARL0+ = 938.2, both sides 469.1; for a shift of one sigma ARL1 = 10.34
    assert run_length.siegmund(0, 0.5, 5) == pytest.approx(938.2, abs=0.05)
    assert run_length.siegmund(0, 0.5, 5) / 2 == pytest.approx(469.1, abs=0.05)
    assert run_length.siegmund(1, 0.5, 5) == pytest.approx(10.34, abs=0.005)


@pytest.mark.parametrize(
    ("weight", "width", "at_0", "at_half", "at_1"),
    [
        (0.40, 3.054, 500, 71.2, 14.3),
        (0.25, 2.998, 500, 48.2, 11.1),
        (0.20, 2.962, 500, 41.8, 10.5),
        (0.10, 2.814, 500, 31.3, 10.3),
        (0.05, 2.615, 500, 28.7, 11.4),
    ],
)
def test_ewma_run_lengths_equal_lucas_and_saccucci_1990(
    weight: float, width: float, at_0: float, at_half: float, at_1: float
) -> None:
    run_lengths = [run_length.ewma(shift, weight, width) for shift in (0, 0.5, 1)]
    assert run_lengths == pytest.approx([at_0, at_half, at_1], rel=0.01)


def test_the_shewhart_chart_alarms_once_in_370_points() -> None:
    assert run_length.shewhart(0) == pytest.approx(370.4, abs=0.05)  # Montgomery 5.3.2
    assert run_length.shewhart(1) == pytest.approx(43.9, abs=0.05)


def test_the_run_length_of_consecutive_heads_equals_fellers() -> None:
    assert run_length.consecutive(0.5, 3) == pytest.approx(14)  # 2 + 4 + 8 throws
    assert run_length.consecutive(1.0, 3) == 3


def test_k_of_n_with_k_equal_to_n_is_a_run() -> None:
    for probability in (0.1, 0.5):
        assert run_length.k_of_n(probability, 3, 3) == pytest.approx(run_length.consecutive(probability, 3))
    assert run_length.k_of_n(0.2, 1, 4) == pytest.approx(5)


def test_k_of_n_agrees_with_a_simulation() -> None:
    rng = np.random.default_rng(11)
    lengths = []
    for _ in range(1500):
        flags: list[int] = []
        while sum(flags[-5:]) < 3:
            flags.append(int(rng.uniform() < 0.2))
        lengths.append(len(flags))
    assert run_length.k_of_n(0.2, 3, 5) == pytest.approx(np.mean(lengths), abs=4 * np.std(lengths) / 1500**0.5)


def test_a_head_start_detects_an_initial_shift_sooner() -> None:
    # Lucas and Crosier 1982, table 1: h = 5, k = 0.5, shift 1: 10.4 without and 6.34 with a head start of h/2
    assert run_length.cusum_one_sided(1.0, 0.5, 5.0, 0.5) == pytest.approx(6.34, abs=0.05)
