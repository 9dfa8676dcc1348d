"""Rows of the embedded bus as entries of the log: a damaged row is an entry too, and stops nobody."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import structlog

from foundation.clock import from_epoch_us
from ingest.bus.attempts import OUTAGE_PATIENCE_S, ReadAttempts
from ingest.bus.embedded.database import TopicLog
from ingest.bus.header_codec import unpack_headers
from ingest.bus.protocol import DeletedRecords, LogEntry, Record, RecordPosition, UnreadableRecord

COLUMNS = "offset, appended_us, CAST(key AS BLOB), headers, value"
_MAX_OFFSET = 2**63 - 1

log = structlog.get_logger()


class RowReader:
    """Reads the entries of one topic, in the caller's transaction."""

    def __init__(self, file: sqlite3.Connection, topic_log: TopicLog) -> None:
        """Read over this connection."""
        self._file = file
        self._log = topic_log
        self._attempts = ReadAttempts()

    def entries(self, partition: int, begin: int, end: int, limit: int) -> Iterator[LogEntry]:
        """Yield up to `limit` entries of the offsets from `begin` to `end`, the end not included.

        A row that is missing counts as deleted, one that SQLite can't read as unreadable.

        Raises:
            sqlite3.Error: The file can't be read now.
        """
        last = begin + limit
        while begin < min(end, last):
            try:
                for row in self._rows(partition, begin, last - begin):
                    if row[0] > begin:
                        yield self._deleted(partition, begin, row[0])
                    yield to_entry(self._log.topic, partition, row)
                    begin = row[0] + 1
                if begin < min(end, last):
                    yield self._deleted(partition, begin, end)
                return
            except sqlite3.Error as error:
                if _code(error) not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT):
                    raise
                yield self._alone(partition, begin)  # the error may be of a later row: Python reads one ahead
                begin += 1

    def _alone(self, partition: int, offset: int) -> LogEntry:
        """Return the entry of one offset; raise `sqlite3.Error` where it may be read later."""
        while True:
            try:
                row = self._rows(partition, offset, 1, offset).fetchone()
            except sqlite3.Error as error:
                is_outage = _code(error) != sqlite3.SQLITE_CORRUPT
                if self._attempts.failed(partition, offset, OUTAGE_PATIENCE_S if is_outage else 0):
                    return self._unreadable(partition, offset, error)
                if is_outage:
                    raise
            else:
                self._attempts.succeeded(partition)
                if row is None:
                    return self._deleted(partition, offset, offset + 1)
                return to_entry(self._log.topic, partition, row)

    def _rows(self, partition: int, begin: int, limit: int, last: int = _MAX_OFFSET) -> Any:
        return self._file.execute(
            f"SELECT {COLUMNS} FROM records"  # noqa: S608  a constant
            " WHERE topic = ? AND partition = ? AND offset BETWEEN ? AND ? ORDER BY offset LIMIT ?",
            (self._log.topic_id, partition, begin, last, limit),
        )

    def _deleted(self, partition: int, begin: int, end: int) -> DeletedRecords:
        log.error(
            "records were deleted before they were read; continuing behind them",
            topic=self._log.topic, partition=partition, wanted=begin, oldest=end,
        )  # fmt: skip
        return DeletedRecords(RecordPosition(self._log.topic, partition, begin), end - begin)

    def _unreadable(self, partition: int, offset: int, error: sqlite3.Error) -> UnreadableRecord:
        log.error(
            "a record can't be read and is passed",
            topic=self._log.topic, partition=partition, offset=offset, error=str(error),
        )  # fmt: skip
        return damaged_row(RecordPosition(self._log.topic, partition, offset), error)


def to_entry(topic: str, partition: int, row: tuple[Any, ...]) -> Record | UnreadableRecord:
    """Return the entry of a row of `COLUMNS`; whatever another program wrote there, it is one."""
    offset, appended_us, key, headers, value = row
    position = RecordPosition(topic, partition, offset)
    try:
        if not isinstance(value, bytes) or not isinstance(headers, bytes):
            raise ValueError("its columns do not have the types that the bus writes")
        text = None if key is None else bytes(key).decode("utf-8", "backslashreplace")
        return Record(position, text, value, unpack_headers(headers), from_epoch_us(appended_us))
    except (ValueError, TypeError, OverflowError) as error:
        raw = value if isinstance(value, bytes) else str(value).encode()
        return UnreadableRecord(position, f"The record's row is damaged ({error}).", raw)


def damaged_row(position: RecordPosition, error: sqlite3.Error) -> UnreadableRecord:
    """Return the entry of a row that SQLite can't read."""
    return UnreadableRecord(position, f"The record can't be read from the file ({error}).")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file is damaged where it was read."""
    return _code(error) == sqlite3.SQLITE_CORRUPT


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
