"""The lag of the whole topic is measured too, so that partitions that nobody reads are not forgotten."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import REGISTRY

from scorer.worker import lag
from scorer.worker.lag import LagReport


class OneOfTwoScorers:
    """A consumer with one of the topic's partitions."""

    asked = 0

    def lag(self) -> Mapping[tuple[str, int], int]:
        return {("frames", 0): 3}

    def group_lag(self) -> int:
        self.asked += 1
        return 10


class Heartbeats:
    reported: int | None = None

    def report_lag(self, frames: int) -> None:
        self.reported = frames


def test_a_scorer_reports_its_own_lag_and_now_and_then_the_whole_topic_s() -> None:
    consumer: Any = OneOfTwoScorers()
    heartbeat: Any = Heartbeats()
    report = LagReport(0.0, heartbeat, "frames")
    for _ in range(3):
        report.measure(consumer)
    assert (heartbeat.reported, report.frames) == (3, 3)
    assert REGISTRY.get_sample_value("andon_group_lag_frames", {"topic": "frames"}) == 10
    assert consumer.asked == 1  # within lag.GROUP_INTERVAL_S
    assert lag.GROUP_INTERVAL_S > 1
