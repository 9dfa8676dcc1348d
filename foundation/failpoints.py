"""Failpoints for crash tests: ``ANDON_TEST_FAILPOINT=written`` ends this process there, as a power cut would.

``written:3`` ends it the third time that the failpoint is reached.
"""

import os
import signal
from collections import Counter

WORKER_FAILPOINTS = ("polled", "decoded", "scored", "stored", "writing", "written", "committed")
"""The failpoints on a batch's way through the scoring worker, in order."""

DELIVERY_FAILPOINTS = ("outbox_read", "appended", "sent", "marked")
"""The failpoints on a batch's way from the outbox to a file of JSON lines, in order."""

LEARNING_FAILPOINT = "head_recorded"
"""The failpoint at the end of the transaction that brings a learnt head into use."""

_times_reached: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """End the process here if ``ANDON_TEST_FAILPOINT`` names this failpoint."""
    active, _, times = os.environ.get("ANDON_TEST_FAILPOINT", "").partition(":")
    if active != name:
        return
    _times_reached[name] += 1
    if _times_reached[name] == int(times or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
