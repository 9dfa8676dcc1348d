"""The contract of every bus for groups: membership, offsets, pause and lag."""

from contextlib import closing

from ingest.bus.protocol import Bus, Message
from tests.ingest.bus.bus_calls import (
    PATIENCE_S,
    commit,
    numbered_messages,
    poll_until_shared,
    publish,
    read,
    read_until,
)


def test_groups_have_separate_offsets(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(6))
    with closing(bus.consumer(topic, "one")) as one:
        commit(one, read(one, 6))
    with closing(bus.consumer(topic, "other")) as other:
        assert len(read(other, 6)) == 6


def test_two_members_share_the_partitions_and_a_leavers_are_reassigned(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(24))
    all_partitions = {(topic, partition) for partition in range(6)}
    with closing(bus.consumer(topic, "g")) as remaining:
        leaving = bus.consumer(topic, "g")
        poll_until_shared(remaining, leaving)
        assert remaining.assignment() | leaving.assignment() == all_partitions
        assert not remaining.assignment() & leaving.assignment()
        leaving.close()
        read_until(remaining, lambda _: remaining.assignment() == all_partitions)


def test_a_commit_for_a_lost_partition_is_ignored(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(24))
    with closing(bus.consumer(topic, "g")) as first:
        records = read(first, 24)
        with closing(bus.consumer(topic, "g")) as second:
            poll_until_shared(first, second)
            lost = second.assignment()
            commit(first, records)
            second.rewind()
            reread = {(record.position.topic, record.position.partition) for record in read_until(second, bool)}
            assert reread <= lost
            assert all(lag > 0 for topic_partition, lag in second.lag().items() if topic_partition in reread)


def test_a_paused_consumer_reads_nothing_and_stays_a_member(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(6))
    with closing(bus.consumer(topic, "g")) as consumer:
        read(consumer, 6)
        assigned = consumer.assignment()
        consumer.pause()
        publish(bus, topic, numbered_messages(6))
        assert [consumer.poll(100, 0.3) for _ in range(4)] == [[]] * 4
        assert consumer.assignment() == assigned
        consumer.resume()
        assert len(read(consumer, 6)) == 6


def test_a_pause_applies_to_partitions_assigned_later(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(6))
    with closing(bus.consumer(topic, "g")) as consumer:
        consumer.pause()
        for _ in range(int(PATIENCE_S / 0.2)):
            assert not consumer.poll(100, 0.2)
            if len(consumer.assignment()) == 6:
                break
        assert [consumer.poll(100, 0.3) for _ in range(4)] == [[]] * 4
        consumer.resume()
        assert len(read(consumer, 6)) == 6


def test_group_lag_includes_partitions_of_other_members(bus: Bus, topic: str) -> None:
    publish(bus, topic, numbered_messages(24))
    with closing(bus.consumer(topic, "g")) as first, closing(bus.consumer(topic, "g")) as second:
        poll_until_shared(first, second)
        assert 0 < sum(second.lag().values()) < 24
        assert second.group_lag() == 24


def test_lag_is_counted_from_the_committed_offset(bus: Bus, topic: str) -> None:
    publish(bus, topic, [Message("s1", b"x", ())] * 5)
    with closing(bus.consumer(topic, "g")) as consumer:
        records = read(consumer, 5)
        assert sum(consumer.lag().values()) == 5
        commit(consumer, records[:3])
        assert sum(consumer.lag().values()) == 2
        assert set(consumer.lag()) == consumer.assignment()
