"""The spool: messages on disk while the bus is unavailable, in order, until they are released (ADR 0003).

A folder of segment files, each named by the number of its first message. When `append` returns, the messages are on
the disk. One process at a time may use a folder, and one thread a `Spool`.
"""

import fcntl
import os
import struct
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from foundation.atomic_files import sync_folder
from foundation.private_files import FILE_MODE, make_private_folder
from ingest.bus.protocol import Message
from ingest.errors import BusMisconfigured, SpoolFull
from ingest.producer.segments import pack_message, read_message, repair_segment, skip_message, write_at

_MAX_SEGMENT_BYTES = 16_000_000
_HEAD = struct.Struct(">QI")  # number of the first message not released, and its CRC-32

log = structlog.get_logger()


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    count: int
    size_bytes: int

    @property
    def end(self) -> int:
        """Return the number after that of the last message."""
        return self.first + self.count


@dataclass(slots=True)
class _Reading:
    segment: _Segment
    file: BinaryIO
    next_number: int  # of the message that is read next


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message with its number in the spool; `message` is None where the disk has damaged it."""

    number: int
    message: Message | None


class Spool:
    """Holds up to `max_bytes` on disk (0: none); survives a killed process and a torn last write."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open the folder, with the messages that an earlier process has left in it.

        Raises:
            BusMisconfigured: The folder can't be used, or another process uses it.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._segment_bytes = max(1, min(_MAX_SEGMENT_BYTES, max_bytes // 8))
        self._lock: int | None = _lock(path)
        self._segments = deque(self._find_segments())
        self._head = self._read_head()
        if self._segments:
            self._head = min(max(self._head, self._segments[0].first), self._segments[-1].end)
        self._next_read = self._head
        self._reading: _Reading | None = None
        self._writing: int | None = None  # the last segment's file descriptor
        self._remove_released()

    @property
    def head(self) -> int:
        """Return the number of the first message that is not released."""
        return self._head

    @property
    def frames(self) -> int:
        """Return the number of messages that are not released."""
        return self._end - self._head

    @property
    def size_bytes(self) -> int:
        """Return the bytes on disk, with the released messages of segments that are still in use."""
        return sum(segment.size_bytes for segment in self._segments)

    @property
    def has_unread(self) -> bool:
        """Return whether `read` has more messages to return."""
        return self._next_read < self._end

    def append(self, messages: Sequence[Message]) -> int:
        """Append messages, from the first on as many as fit; return how many are on the disk now.

        Raises:
            SpoolFull: Not even the first fits, or the disk refuses.
        """
        written = 0
        while written < len(messages):
            try:
                written += self._write_chunk(messages[written:])
            except SpoolFull:
                if written == 0:
                    raise
                break
        return written

    def read(self, max_bytes: int) -> list[Spooled]:
        """Return the next unread messages, up to `max_bytes`, but at least one if any exists."""
        found: list[Spooled] = []
        size_bytes = 0
        while self.has_unread and (not found or size_bytes < max_bytes):
            number = self._next_read
            message = self._read_message(number)
            self._next_read = number + 1
            found.append(Spooled(number, message))
            size_bytes += 0 if message is None else message.size_bytes
        return found

    def rewind(self) -> None:
        """Read again from the first message that is not released."""
        self._next_read = self._head
        self._close_reading()

    def release(self, head: int) -> None:
        """Remove every message with a number below `head`."""
        if head <= self._head:
            return
        self._head = head
        self._next_read = max(self._next_read, head)
        self._write_head()
        self._remove_released()

    def drop_oldest(self) -> dict[int, str]:
        """Remove the oldest segment; return the key of each message that is lost with it, by number."""
        while self._segments and self._segments[0].end <= self._head:
            self._remove_first()
        if not self._segments:
            return {}
        segment = self._segments[0]
        with segment.path.open("rb") as file:
            messages = [read_message(file) for _ in range(segment.count)]
        keys = {number: "" if found is None else found.key for number, found in enumerate(messages, segment.first)}
        dropped = {number: key for number, key in keys.items() if number >= self._head}
        self.release(segment.end)
        return dropped

    def close(self) -> None:
        """Release the folder; its messages stay on the disk. Safe to call twice."""
        self._close_reading()
        self._close_writing()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _end(self) -> int:
        return self._segments[-1].end if self._segments else self._head

    def _write_chunk(self, messages: Sequence[Message]) -> int:
        """Write the messages that fit into one segment, all or nothing, and sync it; return the number of messages."""
        packed = [pack_message(messages[0])]
        if self.size_bytes + len(packed[0]) > self._max_bytes:
            raise SpoolFull(
                f"The spool {self._path} is at its limit of {self._max_bytes} bytes (max_spool_bytes): "
                "make the bus available again or raise the limit."
            )
        try:
            descriptor, segment = self._open_segment(len(packed[0]))
            free_bytes = min(self._segment_bytes - segment.size_bytes, self._max_bytes - self.size_bytes)
            free_bytes -= len(packed[0])
            for message in messages[1:]:
                packed.append(pack_message(message))
                free_bytes -= len(packed[-1])
                if free_bytes < 0:
                    packed.pop()
                    break
            chunk = b"".join(packed)
            try:
                write_at(descriptor, chunk, segment.size_bytes)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, segment.size_bytes)
                raise
        except OSError as error:
            raise SpoolFull(f"The spool {self._path} can't be written: {error.strerror}.") from error
        segment.count += len(packed)
        segment.size_bytes += len(chunk)
        return len(packed)

    def _open_segment(self, needed_bytes: int) -> tuple[int, _Segment]:
        """Return the file descriptor of the last segment, or of a new one, and the segment."""
        if self._segments and self._segments[-1].size_bytes + needed_bytes <= self._segment_bytes:
            if self._writing is None:
                self._writing = os.open(self._segments[-1].path, os.O_RDWR)
            return self._writing, self._segments[-1]
        if self._segments and self._segments[-1].count == 0:
            self._remove_last()
        path = self._path / f"{self._end:020d}.segment"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        self._close_writing()
        self._writing = descriptor
        sync_folder(self._path)
        self._segments.append(_Segment(path, self._end, 0, 0))
        return descriptor, self._segments[-1]

    def _close_writing(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _remove_last(self) -> None:
        self._close_writing()
        self._segments.pop().path.unlink(missing_ok=True)

    def _read_message(self, number: int) -> Message | None:
        segment = next(each for each in self._segments if each.first <= number < each.end)
        if self._reading is None or self._reading.segment is not segment or self._reading.next_number != number:
            self._close_reading()
            self._reading = _Reading(segment, segment.path.open("rb"), segment.first)
            while self._reading.next_number < number:
                skip_message(self._reading.file)
                self._reading.next_number += 1
        message = read_message(self._reading.file)
        self._reading.next_number += 1
        if message is None:
            log.error("a spooled message is damaged and lost", segment=str(segment.path), number=number)
        return message

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.file.close()
            self._reading = None

    def _remove_released(self) -> None:
        while self._segments and self._segments[0].end <= self._head:
            self._remove_first()

    def _remove_first(self) -> None:
        segment = self._segments.popleft()
        if self._reading is not None and self._reading.segment is segment:
            self._close_reading()
        if not self._segments:
            self._close_writing()
        segment.path.unlink(missing_ok=True)

    def _find_segments(self) -> list[_Segment]:
        """Return the segments on disk; a torn end of the last is cut off, for `append` has not returned for it."""
        paths = sorted(self._path.glob("*.segment"))
        first_numbers = [int(path.stem) for path in paths]
        segments = [
            _Segment(path, first, end - first, path.stat().st_size)
            for path, first, end in zip(paths, first_numbers, first_numbers[1:], strict=False)
        ]
        if paths:
            count, size_bytes = repair_segment(paths[-1])
            segments.append(_Segment(paths[-1], first_numbers[-1], count, size_bytes))
        return segments

    def _read_head(self) -> int:
        try:
            head, checksum = _HEAD.unpack((self._path / "head").read_bytes())
        except (FileNotFoundError, struct.error):
            return 0
        return int(head) if zlib.crc32(head.to_bytes(8)) == checksum else 0

    def _write_head(self) -> None:
        """Write the head without a sync: an old one after a power cut only publishes some messages twice."""
        packed = _HEAD.pack(self._head, zlib.crc32(self._head.to_bytes(8)))
        try:
            (self._path / "head").write_bytes(packed)
        except OSError as error:
            log.warning(
                "the spool's head can't be written; after a restart some frames are published twice", error=str(error)
            )


def _lock(path: Path) -> int:
    try:
        make_private_folder(path)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise BusMisconfigured(f"The spool {path} can't be used: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise BusMisconfigured(
            f"The spool {path} is in use by another process; give each producer its own spool_path."
        ) from None
    return lock
