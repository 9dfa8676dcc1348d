"""A bound on bytes held at once."""

import threading

from scorer.imaging.byte_budget import ByteBudget

PATIENCE_S = 30.0


def test_what_does_not_fit_waits_until_it_does() -> None:
    budget = ByteBudget(10)
    inside = threading.Event()

    def ask() -> None:
        with budget.reserve(7):
            inside.set()

    with budget.reserve(6):
        other = threading.Thread(target=ask)
        other.start()
        with budget.reserve(4):
            assert not inside.is_set()
    assert inside.wait(PATIENCE_S)
    other.join(PATIENCE_S)


def test_a_giant_gets_in_once_nobody_holds_any() -> None:
    budget = ByteBudget(10)
    with budget.reserve(1000):
        pass
    with budget.reserve(10):
        pass
