"""Back-off: how long to wait before the next attempt at something that failed."""

import random

_MAX_DOUBLINGS = 60  # beyond that a float's exponent would end before any limit is reached


def exponential_s(first_s: float, max_s: float, failures: int) -> float:
    """Return the wait in seconds after so many failures before this one: `first_s`, doubled for each, up to `max_s`."""
    return min(max_s, first_s * 2.0 ** min(failures, _MAX_DOUBLINGS))


class Backoff:
    """Waits that double with each failure in a row and start again after a success; used from one thread.

    With `jitter` each wait is shortened at random by up to half, so that clients which lost one server at the same
    moment do not come back at the same moment.
    """

    def __init__(self, first_s: float, max_s: float, jitter: random.Random | None = None) -> None:
        """Set the first and the longest wait, in seconds."""
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._failures = 0

    @property
    def failures(self) -> int:
        """The number of failures since the last success."""
        return self._failures

    def next_s(self) -> float:
        """Count a failure and return the seconds to wait before the next attempt."""
        wait_s = exponential_s(self._first_s, self._max_s, self._failures)
        self._failures += 1
        return wait_s if self._jitter is None else wait_s * self._jitter.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start again at the first wait, because an attempt succeeded."""
        self._failures = 0
