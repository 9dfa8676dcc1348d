"""Which frames of a live stream are live, and which arrive late out of a buffer."""

SHORTEST_STEP_S = 0.005
BEHIND_AFTER_S = 2.0
CLOCK_DRIFT = 0.001
"""The most by which a camera's clock and ours may drift apart, in seconds per second; real clocks are far better."""


class LateFrameFilter:
    """Recognises late frames of one connection by the stream's own timestamps, against the least delay seen so far.

    The first frames come out of a buffer, faster than the stream's clock runs: each improves on the least delay by
    nearly a whole step between frames, so the one before it was late. A frame in time improves on it hardly or not.
    """

    def __init__(self) -> None:
        """Start with the first frame of a connection."""
        self._least_delay_s = float("inf")
        self._last: tuple[float, float] | None = None

    def is_late(self, arrived_s: float, stream_s: float) -> bool:
        """Return whether a frame is not live.

        Args:
            arrived_s: When it arrived, on a monotonic clock, in seconds.
            stream_s: Its timestamp in the stream, in seconds.
        """
        delay_s = arrived_s - stream_s
        if self._last is None:
            step_s, improvement_s = 0.0, float("inf")
        else:
            step_s = stream_s - self._last[1]
            self._least_delay_s += CLOCK_DRIFT * (arrived_s - self._last[0])
            improvement_s = self._least_delay_s - delay_s
        self._least_delay_s = min(self._least_delay_s, delay_s)
        self._last = arrived_s, stream_s
        return improvement_s > max(step_s / 2, SHORTEST_STEP_S) or delay_s - self._least_delay_s > BEHIND_AFTER_S
