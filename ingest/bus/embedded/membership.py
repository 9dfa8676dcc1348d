"""Membership of a group on the embedded bus: leases, shares and fenced commits, each inside the caller's transaction.

A member renews its lease while it polls. Whoever renews also throws out members whose lease has lapsed and works out
the shares anew. Each share carries the generation it was given in; a commit counts only with that generation.
"""

import sqlite3
from collections.abc import Mapping

from ingest.bus.embedded.assignment import assign_partitions


def group_number(file: sqlite3.Connection, topic: int, name: str) -> int:
    """The group's number, made on first use: from then on records that it has not committed are kept."""
    file.execute("INSERT OR IGNORE INTO groups (topic, name, generation) VALUES (?, ?, 0)", (topic, name))
    (number,) = file.execute("SELECT id FROM groups WHERE topic = ? AND name = ?", (topic, name)).fetchone()
    return int(number)


def renew(file: sqlite3.Connection, group: int, member: str, partitions: int, now: float, lease_s: float) -> None:
    """Be a member until `now + lease_s` (seconds since 1970), and share out anew if membership changed."""
    file.execute("DELETE FROM members WHERE group_id = ? AND lease_until < ?", (group, now))
    file.execute(
        "INSERT INTO members (group_id, name, lease_until) VALUES (?, ?, ?)"
        " ON CONFLICT (group_id, name) DO UPDATE SET lease_until = excluded.lease_until",
        (group, member, now + lease_s),
    )
    _share_anew(file, group, partitions)


def leave(file: sqlite3.Connection, group: int, member: str, partitions: int) -> None:
    """Give the member's share to the others at once."""
    file.execute("DELETE FROM members WHERE group_id = ? AND name = ?", (group, member))
    _share_anew(file, group, partitions)


def shares_of(file: sqlite3.Connection, group: int, member: str) -> dict[int, int]:
    """Partition → the generation in which it was given to this member."""
    return dict(
        file.execute("SELECT partition, generation FROM shares WHERE group_id = ? AND member = ?", (group, member))
    )


def positions(file: sqlite3.Connection, group: int, topic: int) -> dict[int, int]:
    """Partition → the offset to read next: the committed one, else the oldest there is."""
    return dict(
        file.execute(
            "SELECT partitions.partition, MAX(COALESCE(committed.next_offset, 0), partitions.first_offset)"
            " FROM partitions LEFT JOIN committed"
            " ON committed.group_id = ? AND committed.partition = partitions.partition WHERE partitions.topic = ?",
            (group, topic),
        )
    )


def commit(
    file: sqlite3.Connection, group: int, member: str, held: Mapping[int, int], offsets: Mapping[int, int]
) -> set[int]:
    """Write the positions of partitions still held in the generation the member knows; return those left out."""
    now_held = shares_of(file, group, member)
    valid = {p: offset for p, offset in offsets.items() if p in held and now_held.get(p) == held[p]}
    file.executemany(
        "INSERT INTO committed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        [(group, partition, offset) for partition, offset in valid.items()],
    )
    return set(offsets) - set(valid)


def _share_anew(file: sqlite3.Connection, group: int, partitions: int) -> None:
    members = [name for (name,) in file.execute("SELECT name FROM members WHERE group_id = ? ORDER BY id", (group,))]
    owners = dict(file.execute("SELECT partition, member FROM shares WHERE group_id = ?", (group,)))
    shares = assign_partitions(partitions, members, owners)
    if shares == owners:
        return
    file.execute("UPDATE groups SET generation = generation + 1 WHERE id = ?", (group,))
    (generation,) = file.execute("SELECT generation FROM groups WHERE id = ?", (group,)).fetchone()
    file.executemany(
        "DELETE FROM shares WHERE group_id = ? AND partition = ?", [(group, p) for p in owners if p not in shares]
    )
    file.executemany(
        "INSERT INTO shares VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET member = excluded.member, generation = excluded.generation",
        [(group, p, member, generation) for p, member in shares.items() if owners.get(p) != member],
    )
