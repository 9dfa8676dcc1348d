"""The spool: messages kept on disk while the bus is away, in order, until they are released (ADR 0003).

A folder of segment files, each named by the number of its first message. A message is its length, its CRC-32 and its
bytes. What `append` returned for is on the disk. One process at a time; used from one thread.
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
from ingest.bus.protocol import Message
from ingest.errors import BusMisconfigured, SpoolFull
from ingest.producer.segments import measure, pack, read_message, skip_message, write_all

_LARGEST_SEGMENT_BYTES = 16_000_000
_HEAD = struct.Struct(">QI")  # number of the first message not released, and its CRC-32

log = structlog.get_logger()


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    count: int
    size_bytes: int

    @property
    def after(self) -> int:
        return self.first + self.count


@dataclass(slots=True)
class _Reading:
    segment: _Segment
    file: BinaryIO
    at: int  # the number of the message that the file stands before


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message with its number in the spool; `message` is None where the disk has spoilt it."""

    number: int
    message: Message | None


class Spool:
    """Bounded by `max_bytes` on disk (0: it takes nothing); survives a killed process and a torn last write."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Raises `BusMisconfigured` when the folder can't be used or another process uses it."""
        self._path = path
        self._max_bytes = max_bytes
        self._segment_bytes = max(1, min(_LARGEST_SEGMENT_BYTES, max_bytes // 8))
        self._lock: int | None = _lock(path)
        self._segments = deque(self._found())
        self._head = self._read_head()
        if self._segments:
            self._head = min(max(self._head, self._segments[0].first), self._segments[-1].after)
        self._next_read = self._head
        self._reading: _Reading | None = None
        self._writing: int | None = None  # the last segment's file descriptor
        self._forget_released()

    @property
    def head(self) -> int:
        """The number of the first message not released."""
        return self._head

    @property
    def frames(self) -> int:
        """Messages not released yet."""
        return self._end - self._head

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, released messages of a segment still in use among them."""
        return sum(segment.size_bytes for segment in self._segments)

    @property
    def unread(self) -> bool:
        """Whether `read` has more to give."""
        return self._next_read < self._end

    def append(self, messages: Sequence[Message]) -> int:
        """Put messages behind the last, from the first on as many as fit; return how many are now on the disk.

        Raises `SpoolFull` when not even the first fits.
        """
        written = 0
        while written < len(messages):
            try:
                written += self._write_some(messages[written:])
            except SpoolFull:
                if written == 0:
                    raise
                break
        return written

    def read(self, max_bytes: int) -> list[Spooled]:
        """The next messages not read yet, up to `max_bytes` of them and at least one if there is any."""
        found: list[Spooled] = []
        size_bytes = 0
        while self.unread and (not found or size_bytes < max_bytes):
            number = self._next_read
            message = self._read_one(number)
            self._next_read = number + 1
            found.append(Spooled(number, message))
            size_bytes += 0 if message is None else message.size_bytes
        return found

    def rewind(self) -> None:
        """Read again from the first message that is not released."""
        self._next_read = self._head
        self._close_reading()

    def release(self, after: int) -> None:
        """Forget every message with a number below `after`."""
        if after <= self._head:
            return
        self._head = after
        self._next_read = max(self._next_read, after)
        self._write_head()
        self._forget_released()

    def drop_oldest(self) -> dict[int, str]:
        """Give up the oldest segment to make room; return number and key of each message that goes with it."""
        while self._segments and self._segments[0].after <= self._head:
            self._remove_first()
        if not self._segments:
            return {}
        segment = self._segments[0]
        with segment.path.open("rb") as file:
            messages = [read_message(file) for _ in range(segment.count)]
        keys = {number: "" if found is None else found.key for number, found in enumerate(messages, segment.first)}
        gone = {number: key for number, key in keys.items() if number >= self._head}
        self.release(segment.after)
        return gone

    def close(self) -> None:
        """Let go of the folder; what is in it stays. Safe to call twice."""
        self._close_reading()
        self._stop_writing()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _end(self) -> int:
        return self._segments[-1].after if self._segments else self._head

    def _write_some(self, messages: Sequence[Message]) -> int:
        """Write what fits into one segment at one go and force it to the disk; all of it counts, or none."""
        packed = [pack(messages[0])]
        if self.size_bytes + len(packed[0]) > self._max_bytes:
            raise SpoolFull(
                f"the spool {self._path} is at its limit of {self._max_bytes} bytes (max_spool_bytes): "
                "bring the bus back or raise the limit"
            )
        try:
            file, segment = self._file_with_room(len(packed[0]))
            room_bytes = min(self._segment_bytes - segment.size_bytes, self._max_bytes - self.size_bytes)
            room_bytes -= len(packed[0])
            for message in messages[1:]:
                packed.append(pack(message))
                room_bytes -= len(packed[-1])
                if room_bytes < 0:
                    packed.pop()
                    break
            together = b"".join(packed)
            try:
                write_all(file, together, segment.size_bytes)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, segment.size_bytes)
                raise
        except OSError as error:
            raise SpoolFull(f"the spool {self._path} can't be written: {error.strerror}") from error
        segment.count += len(packed)
        segment.size_bytes += len(together)
        return len(packed)

    def _file_with_room(self, wanted_bytes: int) -> tuple[int, _Segment]:
        """The file to write to, the last segment's or that of a new one."""
        if self._segments and self._segments[-1].size_bytes + wanted_bytes <= self._segment_bytes:
            if self._writing is None:
                self._writing = os.open(self._segments[-1].path, os.O_RDWR)
            return self._writing, self._segments[-1]
        if self._segments and self._segments[-1].count == 0:
            self._remove_last()
        path = self._path / f"{self._end:020d}.segment"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self._stop_writing()
        self._writing = file
        sync_folder(self._path)
        self._segments.append(_Segment(path, self._end, 0, 0))
        return file, self._segments[-1]

    def _stop_writing(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _remove_last(self) -> None:
        self._stop_writing()
        self._segments.pop().path.unlink(missing_ok=True)

    def _read_one(self, number: int) -> Message | None:
        segment = next(each for each in self._segments if each.first <= number < each.after)
        if self._reading is None or self._reading.segment is not segment or self._reading.at != number:
            self._close_reading()
            self._reading = _Reading(segment, segment.path.open("rb"), segment.first)
            while self._reading.at < number:
                skip_message(self._reading.file)
                self._reading.at += 1
        message = read_message(self._reading.file)
        self._reading.at += 1
        if message is None:
            log.error("a spooled message is damaged and lost", segment=str(segment.path), number=number)
        return message

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.file.close()
            self._reading = None

    def _forget_released(self) -> None:
        while self._segments and self._segments[0].after <= self._head:
            self._remove_first()

    def _remove_first(self) -> None:
        segment = self._segments.popleft()
        if self._reading is not None and self._reading.segment is segment:
            self._close_reading()
        if not self._segments:
            self._stop_writing()
        segment.path.unlink(missing_ok=True)

    def _found(self) -> list[_Segment]:
        """The segments on disk; what a kill tore off the end of the last is cut away, for it was never promised."""
        paths = sorted(self._path.glob("*.segment"))
        firsts = [int(path.stem) for path in paths]
        segments = [
            _Segment(path, first, after - first, path.stat().st_size)
            for path, first, after in zip(paths, firsts, firsts[1:], strict=False)
        ]
        if paths:
            count, size_bytes = measure(paths[-1])
            segments.append(_Segment(paths[-1], firsts[-1], count, size_bytes))
        return segments

    def _read_head(self) -> int:
        try:
            head, checksum = _HEAD.unpack((self._path / "head").read_bytes())
        except (FileNotFoundError, struct.error):
            return 0
        return int(head) if zlib.crc32(head.to_bytes(8)) == checksum else 0

    def _write_head(self) -> None:
        """Not forced to the disk: an old head after a power cut only publishes some messages twice."""
        packed = _HEAD.pack(self._head, zlib.crc32(self._head.to_bytes(8)))
        try:
            (self._path / "head").write_bytes(packed)
        except OSError as error:
            log.warning("the spool's head was not written; after a restart some frames go twice", error=str(error))


def _lock(path: Path) -> int:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BusMisconfigured(f"the spool {path} can't be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise BusMisconfigured(
            f"the spool {path} is in use by another process; give each producer a spool_path of its own"
        ) from None
    return lock
