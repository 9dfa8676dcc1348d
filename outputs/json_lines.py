"""The output ``json_lines``: one line of JSON per verdict, appended to a file.

Each verdict is in the file exactly once, also after a crash: a message that comes again is found among the last lines,
and a line that a killed process wrote in part is removed before the next one is written.
"""

import fcntl
import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from foundation.atomic_files import sync_folder
from foundation.failpoints import failpoint
from outputs.errors import OutputUnavailable
from outputs.message import VerdictMessage
from outputs.protocol import MAX_BATCH

_START_OF_A_LINE = b'{"version":'
_BLOCK_BYTES = 65536


class JsonLinesSettings(BaseModel):
    """The keys of an output of this kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="The file, for example /var/lib/andon/verdicts.jsonl; its folder is created.")


class JsonLines:
    """Appends to one file, which no other process may write meanwhile; after a rotation it starts a new one."""

    def __init__(self, path: Path) -> None:
        """Remember the path; the file is opened by the first `send`."""
        self._path = path
        self._descriptor: int | None = None
        self._last_frame_ids: deque[str] = deque(maxlen=MAX_BATCH)

    def send(self, messages: Sequence[VerdictMessage]) -> None:
        """Append the messages that are not among the last lines, and sync the file.

        Raises `OutputUnavailable` when the file can't be written, holds something else, or is another process's.
        """
        try:
            descriptor = self._open_file()
            written = set(self._last_frame_ids)
            new = [message for message in messages if str(message.frame_id) not in written]
            _write(descriptor, b"".join(f"{message.to_json()}\n".encode() for message in new))
            failpoint("appended")
            os.fsync(descriptor)
        except OSError as error:
            self.close()  # a line that was written in part is removed when the file is opened again
            raise OutputUnavailable(
                f"The file {self._path} can't be written ({error.strerror}): check its disk and its folder's rights."
            ) from error
        self._last_frame_ids.extend(str(message.frame_id) for message in new)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open_file(self) -> int:
        """Return the descriptor of the file that is at the path now."""
        if self._descriptor is not None and not _is_at(self._path, self._descriptor):
            self.close()
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self._last_frame_ids.extend(_repair(self._path, descriptor))
                sync_folder(self._path.parent)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
        return self._descriptor


def create_json_lines(settings: Mapping[str, Any]) -> JsonLines:
    """Create the output from its settings; raises pydantic's `ValidationError`."""
    return JsonLines(JsonLinesSettings(**settings).path)


def _repair(path: Path, descriptor: int) -> list[str]:
    """Lock the file, remove a line that was written in part, and return the frame ids of its last lines.

    Raises `OutputUnavailable` when another process has locked it, or it is no file of ours.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputUnavailable(f"Another process writes the file {path}: stop it, or name another file.") from None
    if not _START_OF_A_LINE.startswith(os.pread(descriptor, len(_START_OF_A_LINE), 0)):
        raise OutputUnavailable(f"The file {path} holds something other than verdicts: move it, or name another file.")
    lines, partial = _last_lines(descriptor, MAX_BATCH)
    os.ftruncate(descriptor, os.fstat(descriptor).st_size - len(partial))
    return [frame_id for line in lines if (frame_id := _frame_id(line)) is not None]


def _last_lines(descriptor: int, count: int) -> tuple[list[bytes], bytes]:
    """Return the last `count` lines, and what follows the last line break."""
    tail = b""
    start = os.fstat(descriptor).st_size
    while start > 0 and tail.count(b"\n") <= count:
        end, start = start, max(0, start - _BLOCK_BYTES)
        tail = os.pread(descriptor, end - start, start) + tail
    *lines, partial = tail.split(b"\n")
    return lines[-count:], partial


def _frame_id(line: bytes) -> str | None:
    """Return the frame id of a line; None for one that a power cut has damaged, which is then written again."""
    try:
        return str(json.loads(line)["frame_id"])
    except (ValueError, TypeError, KeyError):
        return None


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one at the path, and not one that was moved away."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
