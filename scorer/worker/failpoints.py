"""A seam for crash tests: ``ANDON_TEST_FAILPOINT=written`` ends this process there, as a power cut would.

``written:3`` ends it the third time it gets there.
"""

import os
import signal
from collections import Counter

STEPS = ("polled", "decoded", "scored", "kept", "writing", "written", "committed")

_reached: Counter[str] = Counter()


def failpoint(step: str) -> None:
    """Say that a step of the worker was reached."""
    wanted, _, times = os.environ.get("ANDON_TEST_FAILPOINT", "").partition(":")
    if wanted != step:
        return
    _reached[step] += 1
    if _reached[step] == int(times or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
