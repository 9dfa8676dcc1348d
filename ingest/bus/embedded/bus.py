"""The embedded bus: a durable log in one SQLite file, for the processes of one machine (ADR 0001)."""

import sqlite3
from contextlib import closing

from foundation.clock import Clock, utc_now
from ingest.bus.embedded.consumer import EmbeddedConsumer
from ingest.bus.embedded.database import TopicLog, open_database, read_transaction, write_transaction
from ingest.bus.embedded.publisher import EmbeddedPublisher
from ingest.bus.embedded.rows import COLUMNS, damaged_row, is_damage, to_entry
from ingest.bus.protocol import Record, RecordPosition, UnreadableRecord
from ingest.settings import IngestSettings


class EmbeddedBus:
    """Implements `ingest.bus.protocol.Bus` on the file `settings.embedded_path`."""

    def __init__(self, settings: IngestSettings, clock: Clock = utc_now) -> None:
        """Open nothing yet; the file is opened on use."""
        self._settings = settings
        self._clock = clock

    def ensure_topic(self, topic: str, partitions: int) -> None:
        """Create the topic unless it exists; an existing one stays as it is."""
        path = self._settings.embedded_path
        with closing(open_database(path, durable_commits=True)) as file, write_transaction(file, path):
            if file.execute("SELECT 1 FROM topics WHERE name = ?", (topic,)).fetchone():
                return
            row = file.execute("INSERT INTO topics (name, partitions) VALUES (?, ?)", (topic, partitions))
            file.executemany(
                "INSERT INTO partitions VALUES (?, ?, 0, 0)", [(row.lastrowid, number) for number in range(partitions)]
            )

    def publisher(self, topic: str) -> EmbeddedPublisher:
        """Return a publisher on `topic`."""
        return EmbeddedPublisher(self._topic_log(topic), self._settings, self._clock)

    def consumer(self, topic: str, group: str) -> EmbeddedConsumer:
        """Join `group` on `topic`; a group without a committed position starts at the oldest record."""
        return EmbeddedConsumer(self._topic_log(topic), group, self._settings.lease_s, self._clock)

    def read(self, position: RecordPosition) -> Record | UnreadableRecord | None:
        """Return the record at exactly this position, or None when it is no longer retained."""
        path = self._settings.embedded_path
        with closing(open_database(path, durable_commits=False)) as file, read_transaction(file, path):
            try:
                row = file.execute(
                    f"SELECT {COLUMNS} FROM records JOIN topics ON topics.id = topic"  # noqa: S608  a constant
                    " WHERE topics.name = ? AND partition = ? AND offset = ?",
                    (position.topic, position.partition, position.offset),
                ).fetchone()
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                return damaged_row(position, error)
        return None if row is None else to_entry(position.topic, position.partition, row)

    def close(self) -> None:
        """Do nothing: the bus itself holds nothing open."""

    def _topic_log(self, topic: str) -> TopicLog:
        self.ensure_topic(topic, self._settings.partitions)
        path = self._settings.embedded_path
        with closing(open_database(path, durable_commits=False)) as file, read_transaction(file, path):
            topic_id, partitions = file.execute("SELECT id, partitions FROM topics WHERE name = ?", (topic,)).fetchone()
        return TopicLog(path, topic, topic_id, partitions)
