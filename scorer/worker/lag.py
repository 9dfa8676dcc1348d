"""Lag report of the worker: how many frames on the bus are not committed yet."""

import math
import time

from ingest.bus.protocol import Consumer
from scorer import metrics
from scorer.worker.heartbeat import Heartbeat

GROUP_INTERVAL_S = 30.0  # the lag of the whole group takes a request per partition


class LagReport:
    """Measures the lag of a consumer periodically, for the metrics and the heartbeat; used from one thread."""

    def __init__(self, interval_s: float, heartbeat: Heartbeat, topic: str) -> None:
        """Measure the lag on a topic at most every `interval_s` seconds, but for `measure`."""
        self._topic = topic
        self._group_measured_at_s = -math.inf
        self._interval_s = interval_s
        self._heartbeat = heartbeat
        self._measured_at_s = time.monotonic()
        self.frames = 0
        """Frames of this worker's partitions that were not committed when last measured."""

    def measure_if_due(self, consumer: Consumer) -> None:
        """Measure, unless that was done within the interval; raises `BusUnavailable`."""
        if time.monotonic() - self._measured_at_s >= self._interval_s:
            self.measure(consumer)

    def measure(self, consumer: Consumer) -> None:
        """Measure and report the lag; raises `BusUnavailable`."""
        self._measured_at_s = time.monotonic()
        lag = consumer.lag()
        metrics.CONSUMER_LAG_FRAMES.clear()  # partitions that moved to other members are theirs to report
        for (topic, partition), frames in lag.items():
            metrics.CONSUMER_LAG_FRAMES.labels(topic, str(partition)).set(frames)
        self.frames = sum(lag.values())
        self._heartbeat.report_lag(self.frames)
        if self._measured_at_s - self._group_measured_at_s >= GROUP_INTERVAL_S:
            metrics.GROUP_LAG_FRAMES.labels(self._topic).set(consumer.group_lag())
            self._group_measured_at_s = self._measured_at_s
