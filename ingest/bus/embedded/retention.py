"""Retention of the embedded bus, which may delete records that every group has committed and that are old enough."""

import sqlite3

_BATCH_RECORDS = 64  # of one partition in one transaction, so that writers never wait long


def delete_expired(file: sqlite3.Connection, topic: int, before_us: int) -> int:
    """Delete a batch of expired records per partition, in the caller's transaction; return how many.

    Returns 0 when nothing is left to delete. Later records use the freed pages again. Without any group nothing
    expires, because one may still join.

    Args:
        file: The embedded bus's database.
        topic: The topic's id in it.
        before_us: Records appended from this time on stay, in microseconds since 1970.
    """
    deleted = 0
    for partition, first_offset, committed in _lowest_committed(file, topic):
        if committed <= first_offset:
            continue
        keep_from = first_offset
        for offset, appended_us in file.execute(
            "SELECT offset, appended_us FROM records WHERE topic = ? AND partition = ? AND offset >= ?"
            " ORDER BY offset LIMIT ?",
            (topic, partition, first_offset, _BATCH_RECORDS),
        ):
            if offset >= committed or appended_us >= before_us:
                break
            keep_from = offset + 1
        if keep_from == first_offset:
            continue
        result = file.execute(
            "DELETE FROM records WHERE topic = ? AND partition = ? AND offset < ?", (topic, partition, keep_from)
        )
        file.execute(
            "UPDATE partitions SET first_offset = ? WHERE topic = ? AND partition = ?", (keep_from, topic, partition)
        )
        deleted += result.rowcount
    return deleted


def slowest_group(file: sqlite3.Connection, topic: int) -> str | None:
    """Return the group with the largest lag, or None when no group reads the topic."""
    row = file.execute(
        "SELECT groups.name, SUM(partitions.next_offset - COALESCE(committed.next_offset, partitions.first_offset)) lag"
        " FROM groups JOIN partitions ON partitions.topic = groups.topic"
        " LEFT JOIN committed ON committed.group_id = groups.id AND committed.partition = partitions.partition"
        " WHERE groups.topic = ? GROUP BY groups.id ORDER BY lag DESC LIMIT 1",
        (topic,),
    ).fetchone()
    return None if row is None else str(row[0])


def _lowest_committed(file: sqlite3.Connection, topic: int) -> list[tuple[int, int, int]]:
    """Return per partition: its number, its first offset, and the lowest offset that any group has committed."""
    return file.execute(
        "SELECT partitions.partition, partitions.first_offset, MIN(COALESCE(committed.next_offset, 0))"
        " FROM partitions JOIN groups ON groups.topic = partitions.topic"
        " LEFT JOIN committed ON committed.group_id = groups.id AND committed.partition = partitions.partition"
        " WHERE partitions.topic = ? GROUP BY partitions.partition",
        (topic,),
    ).fetchall()
