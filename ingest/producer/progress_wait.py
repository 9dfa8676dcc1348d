"""Wait for as long as something moves: a slow bus is no reason to give up, one that stands still is."""

import threading
from collections.abc import Callable

INTERVAL_S = 0.5


def wait_while_moving(
    wait: Callable[[float], bool],
    moved: Callable[[], int],
    stalled_after_s: float,
    now_s: Callable[[], float],
    stop: threading.Event | None,
    progress: Callable[[], None],
) -> bool:
    """Wait until it is done; return False when nothing moved for `stalled_after_s`.

    Args:
        wait: Waits for some seconds and returns whether it is done.
        moved: Returns a count that grows with each step.
        stalled_after_s: Seconds without a step after which to give up.
        now_s: A monotonic clock, in seconds.
        stop: From when it is set on, steps do not prolong the wait.
        progress: Called after each interval.
    """
    seen, give_up_at_s = moved(), now_s() + stalled_after_s
    while not wait(min(INTERVAL_S, stalled_after_s)):
        if moved() != seen and not (stop is not None and stop.is_set()):
            seen, give_up_at_s = moved(), now_s() + stalled_after_s
        elif now_s() >= give_up_at_s:
            return False
        progress()
    return True
