"""A bound on bytes held at once."""

import threading

from scorer.imaging.byte_budget import ByteBudget

PATIENCE_S = 30.0


def test_a_reservation_waits_until_it_fits() -> None:
    budget = ByteBudget(10)
    reserved = threading.Event()

    def reserve_seven() -> None:
        with budget.reserve(7):
            reserved.set()

    with budget.reserve(6):
        other = threading.Thread(target=reserve_seven)
        other.start()
        with budget.reserve(4):
            assert not reserved.is_set()
    assert reserved.wait(PATIENCE_S)
    other.join(PATIENCE_S)


def test_a_reservation_above_the_budget_is_granted_when_it_is_unused() -> None:
    budget = ByteBudget(10)
    with budget.reserve(1000):
        pass
    with budget.reserve(10):
        pass
