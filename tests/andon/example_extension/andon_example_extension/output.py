"""An output of another package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outputs.message import VerdictMessage


class ExampleOutput:
    """Appends the frame id of each verdict to a file."""

    def __init__(self, path: Path) -> None:
        """Append to this file."""
        self._path = path

    def send(self, messages: Sequence[VerdictMessage]) -> None:
        """Append one line per message."""
        with self._path.open("a") as file:
            file.writelines(f"{message.frame_id}\n" for message in messages)

    def close(self) -> None:
        """Do nothing: nothing is open."""


def create_example(settings: Mapping[str, Any]) -> ExampleOutput:
    """Create the output from the key `path`."""
    return ExampleOutput(Path(settings["path"]))
