"""The protocol of an output, which every way out of the line implements."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from outputs.message import VerdictMessage

MAX_BATCH = 200
"""The most messages of one `send`, and so the most that are sent again after a crash."""


class Output(Protocol):
    """Sends verdicts to one receiver. It is used from one thread."""

    def send(self, messages: Sequence[VerdictMessage]) -> None:
        """Send 1 to `MAX_BATCH` messages in this order, and return when the receiver has them durably.

        Delivery is at least once: after an error or a crash the same messages come again, in the same order. A
        receiver recognises them by `frame_id`. The messages of a station are in the order of recording. An output
        connects in its first call, so that a receiver which is away at the start is waited for.

        Raises:
            OutputUnavailable: The receiver can't take messages now; the batch is sent again, later and later.
            MessageRejected: The receiver will never take one of them. The messages are then sent one by one, and the
                one that is rejected alone is set aside.
        """

    def close(self) -> None:
        """Close what is open; called once, after the last `send`."""


CreateOutput = Callable[[Mapping[str, Any]], Output]
"""Creates an output from the keys of its table ``[outputs.NAME]`` but `kind`, without connecting.

Values from the environment are strings. It raises `OutputMisconfigured`, or pydantic's `ValidationError`, for settings
that are not valid.
"""
