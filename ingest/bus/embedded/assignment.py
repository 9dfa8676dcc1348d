"""How a group's members share a topic's partitions."""

from collections.abc import Mapping, Sequence


def assign_partitions(partitions: int, members: Sequence[str], owners: Mapping[int, str]) -> dict[int, str]:
    """Return the member per partition, balanced to within one.

    No more of the present `owners`' partitions move than needed. Without members no partition is assigned. The same
    arguments always give the same result, so any member may compute it.
    """
    if not members:
        return {}
    owned: dict[str, list[int]] = {member: [] for member in members}
    for partition in range(partitions):
        owner = owners.get(partition)
        if owner in owned:
            owned[owner].append(partition)
    quotient, remainder = divmod(partitions, len(members))
    by_owned = sorted(members, key=lambda member: -len(owned[member]))
    quota = {member: quotient + (rank < remainder) for rank, member in enumerate(by_owned)}
    assignment = {partition: member for member in members for partition in owned[member][: quota[member]]}
    unassigned = iter([partition for partition in range(partitions) if partition not in assignment])
    for member in by_owned:
        for _ in range(quota[member] - min(len(owned[member]), quota[member])):
            assignment[next(unassigned)] = member
    return assignment
