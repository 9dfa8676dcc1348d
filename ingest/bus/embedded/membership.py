"""Membership of a group on the embedded bus: leases, assignments and fenced commits, in the caller's transaction.

A member renews its lease while it polls. Each renewal also removes members whose lease has expired, and assigns the
partitions again. Each assignment has the generation in which it was made; a commit counts only with that generation.
"""

import sqlite3
from collections.abc import Mapping

from ingest.bus.embedded.assignment import assign_partitions


def find_or_create_group(file: sqlite3.Connection, topic: int, name: str) -> int:
    """Return a group's id; from its creation on, records that it has not committed are retained.

    A new group starts at the oldest records, which are its first committed offsets.
    """
    found = file.execute("SELECT id FROM groups WHERE topic = ? AND name = ?", (topic, name)).fetchone()
    if found is not None:
        return int(found[0])
    group = file.execute("INSERT INTO groups (topic, name, generation) VALUES (?, ?, 0)", (topic, name)).lastrowid
    assert group is not None
    file.execute(
        "INSERT INTO committed SELECT ?, partition, first_offset FROM partitions WHERE topic = ?", (group, topic)
    )
    return group


def renew_lease(
    file: sqlite3.Connection, group: int, member: str, partitions: int, now_s: float, lease_s: float
) -> None:
    """Make `member` a member until `now_s + lease_s`, in seconds since 1970, and rebalance if membership changed."""
    file.execute("DELETE FROM members WHERE group_id = ? AND lease_until < ?", (group, now_s))
    file.execute(
        "INSERT INTO members (group_id, name, lease_until) VALUES (?, ?, ?)"
        " ON CONFLICT (group_id, name) DO UPDATE SET lease_until = excluded.lease_until",
        (group, member, now_s + lease_s),
    )
    _rebalance(file, group, partitions)


def leave_group(file: sqlite3.Connection, group: int, member: str, partitions: int) -> None:
    """Remove `member`, and assign its partitions to the others at once."""
    file.execute("DELETE FROM members WHERE group_id = ? AND name = ?", (group, member))
    _rebalance(file, group, partitions)


def assigned_partitions(file: sqlite3.Connection, group: int, member: str) -> dict[int, int]:
    """Return the partitions of `member`, each with the generation of its assignment."""
    return dict(
        file.execute("SELECT partition, generation FROM assignments WHERE group_id = ? AND member = ?", (group, member))
    )


def committed_offsets(file: sqlite3.Connection, group: int, topic: int) -> dict[int, int]:
    """Return per partition the offset to read next; it lies before the oldest record if some were deleted unread."""
    return dict(
        file.execute(
            "SELECT partitions.partition, COALESCE(committed.next_offset, partitions.first_offset)"
            " FROM partitions LEFT JOIN committed"
            " ON committed.group_id = ? AND committed.partition = partitions.partition WHERE partitions.topic = ?",
            (group, topic),
        )
    )


def commit_offsets(
    file: sqlite3.Connection, group: int, member: str, generations: Mapping[int, int], offsets: Mapping[int, int]
) -> set[int]:
    """Commit the offsets of partitions whose generation is still the one that `member` knows.

    Returns:
        The partitions that are assigned to another member by now, and were skipped.
    """
    current = assigned_partitions(file, group, member)
    valid = {
        partition: offset
        for partition, offset in offsets.items()
        if partition in generations and current.get(partition) == generations[partition]
    }
    file.executemany(
        "INSERT INTO committed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        [(group, partition, offset) for partition, offset in valid.items()],
    )
    return set(offsets) - set(valid)


def _rebalance(file: sqlite3.Connection, group: int, partitions: int) -> None:
    members = [name for (name,) in file.execute("SELECT name FROM members WHERE group_id = ? ORDER BY id", (group,))]
    owners = dict(file.execute("SELECT partition, member FROM assignments WHERE group_id = ?", (group,)))
    assignment = assign_partitions(partitions, members, owners)
    if assignment == owners:
        return
    file.execute("UPDATE groups SET generation = generation + 1 WHERE id = ?", (group,))
    (generation,) = file.execute("SELECT generation FROM groups WHERE id = ?", (group,)).fetchone()
    file.executemany(
        "DELETE FROM assignments WHERE group_id = ? AND partition = ?",
        [(group, partition) for partition in owners if partition not in assignment],
    )
    file.executemany(
        "INSERT INTO assignments VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET member = excluded.member, generation = excluded.generation",
        [
            (group, partition, member, generation)
            for partition, member in assignment.items()
            if owners.get(partition) != member
        ],
    )
