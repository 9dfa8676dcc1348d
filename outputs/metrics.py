"""The Prometheus metrics of outputs."""

from prometheus_client import Counter, Gauge

DELIVERED = Counter("andon_output_delivered_total", "Verdicts delivered by an output.", ["output"])
REJECTED = Counter("andon_output_rejected_total", "Verdicts that an output can never deliver, set aside.", ["output"])
FAILURES = Counter("andon_output_failures_total", "Attempts of an output that failed.", ["output"])
OLDEST_PENDING_SECONDS = Gauge(
    "andon_output_oldest_pending_seconds",
    "Seconds since the oldest verdict that an output has not delivered was decided; 0 without one.",
    ["output"],
)
