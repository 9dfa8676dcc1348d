"""How a group's members share a topic's partitions."""

from collections.abc import Mapping, Sequence


def assign_partitions(partitions: int, members: Sequence[str], owners: Mapping[int, str]) -> dict[int, str]:
    """Partition → member, balanced to within one, moving no more of the present `owners`' partitions than needed.

    No members, no shares. The same input always gives the same answer, so any member may work it out.
    """
    if not members:
        return {}
    kept: dict[str, list[int]] = {member: [] for member in members}
    for partition in range(partitions):
        owner = owners.get(partition)
        if owner in kept:
            kept[owner].append(partition)
    fair, left_over = divmod(partitions, len(members))
    richest_first = sorted(members, key=lambda member: -len(kept[member]))
    quota = {member: fair + (rank < left_over) for rank, member in enumerate(richest_first)}
    shares = {partition: member for member in members for partition in kept[member][: quota[member]]}
    orphans = iter([partition for partition in range(partitions) if partition not in shares])
    for member in richest_first:
        for _ in range(quota[member] - min(len(kept[member]), quota[member])):
            shares[next(orphans)] = member
    return shares
