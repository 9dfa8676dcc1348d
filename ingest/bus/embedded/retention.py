"""What the embedded bus may forget: records that every group has committed and that are old enough."""

import sqlite3

_AT_ONE_GO = 64  # records of one partition in one transaction, so that writers never wait long


def sweep(file: sqlite3.Connection, topic: int, before_us: int) -> int:
    """Remove some of what may go, inside the caller's transaction; return how many, 0 when nothing is left to do.

    The freed pages are used again by later records. Without any group nothing goes: somebody may still come.
    """
    removed = 0
    for partition, first_offset, floor in _floors(file, topic):
        if floor <= first_offset:
            continue
        keep_from = first_offset
        for offset, appended_us in file.execute(
            "SELECT offset, appended_us FROM records WHERE topic = ? AND partition = ? AND offset >= ?"
            " ORDER BY offset LIMIT ?",
            (topic, partition, first_offset, _AT_ONE_GO),
        ):
            if offset >= floor or appended_us >= before_us:
                break
            keep_from = offset + 1
        if keep_from == first_offset:
            continue
        gone = file.execute(
            "DELETE FROM records WHERE topic = ? AND partition = ? AND offset < ?", (topic, partition, keep_from)
        )
        file.execute(
            "UPDATE partitions SET first_offset = ? WHERE topic = ? AND partition = ?", (keep_from, topic, partition)
        )
        removed += gone.rowcount
    return removed


def furthest_behind(file: sqlite3.Connection, topic: int) -> str | None:
    """The group that has the most records before it, None when no group reads the topic."""
    row = file.execute(
        "SELECT groups.name, SUM(partitions.next_offset - COALESCE(committed.next_offset, partitions.first_offset)) lag"
        " FROM groups JOIN partitions ON partitions.topic = groups.topic"
        " LEFT JOIN committed ON committed.group_id = groups.id AND committed.partition = partitions.partition"
        " WHERE groups.topic = ? GROUP BY groups.id ORDER BY lag DESC LIMIT 1",
        (topic,),
    ).fetchone()
    return None if row is None else str(row[0])


def _floors(file: sqlite3.Connection, topic: int) -> list[tuple[int, int, int]]:
    """Per partition: its first offset, and the lowest position that any group has committed."""
    return file.execute(
        "SELECT partitions.partition, partitions.first_offset, MIN(COALESCE(committed.next_offset, 0))"
        " FROM partitions JOIN groups ON groups.topic = partitions.topic"
        " LEFT JOIN committed ON committed.group_id = groups.id AND committed.partition = partitions.partition"
        " WHERE partitions.topic = ? GROUP BY partitions.partition",
        (topic,),
    ).fetchall()
