"""Back-off: waits that double up to a limit, and start again after a success."""

import random

from foundation.backoff import Backoff, exponential_s


def test_delays_double_up_to_the_limit_and_reset_after_a_success() -> None:
    backoff = Backoff(0.5, 3)

    assert [backoff.next_s() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    assert backoff.failures == 5
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_s() == 0.5


def test_jitter_shortens_each_delay_by_up_to_half() -> None:
    plain, jittered = Backoff(1, 30), Backoff(1, 30, random.Random(3))
    waits = [(plain.next_s(), jittered.next_s()) for _ in range(50)]

    assert all(full / 2 <= wait <= full for full, wait in waits)
    assert len({wait for _, wait in waits}) == 50


def test_many_failures_do_not_overflow() -> None:
    assert exponential_s(10, 1800, 100_000) == 1800
