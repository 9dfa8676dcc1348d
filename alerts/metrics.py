"""The Prometheus metrics of the alert monitor and the notifications."""

from prometheus_client import Counter, Gauge, Histogram

OPEN = Gauge(
    "andon_alerts_open", "1 while an alert is not resolved; the line's own have no station.", ["station", "rule"]
)
OPENED = Counter("andon_alerts_opened_total", "Alerts opened.", ["station", "rule"])
NOTIFICATIONS = Counter(
    "andon_notifications_total",
    "Attempts to notify a channel of an alert: sent, failed or given_up.",
    ["channel", "outcome"],
)
NOTIFICATIONS_PENDING = Gauge("andon_notifications_pending", "Notifications that are queued.")
EVALUATION_SECONDS = Histogram(
    "andon_alerts_evaluation_seconds",
    "Seconds that one round of the alert monitor took.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
LAST_EVALUATION_TIMESTAMP_SECONDS = Gauge(
    "andon_alerts_last_evaluation_timestamp_seconds", "When the rules were last evaluated."
)
