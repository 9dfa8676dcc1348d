"""A service that is not available here skips its tests with a reason; under CI that is a failure."""

import os
from typing import NoReturn

import pytest


def skip_unavailable(reason: str) -> NoReturn:
    """Skip the test with a reason, or fail it where CI is set: CI never skips."""
    if os.environ.get("CI"):
        pytest.fail(f"CI never skips: {reason}", pytrace=False)
    pytest.skip(reason)
