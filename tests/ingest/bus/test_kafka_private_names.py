"""The names of kafka-python that are no part of its public interface, and that the Kafka bus depends on.

A version that lacks one of them, or in which one has another meaning, would fail only while brokers fail. So
`pyproject.toml` admits the versions that were read and tested, and this file lists what to read again in the next one.
"""

import ast
import importlib
import inspect
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ingest.bus.kafka

PROJECT = Path(__file__).resolve().parents[3]

NAMES = {
    "kafka.consumer.fetcher:ConsumerRecord": "the records that a fetch returns",
    "kafka.consumer.fetcher:Fetcher": "a record that can't be read stops its partition for ever",
    "kafka.consumer.fetcher:RecordTooLargeError": "an error of one record",
    "kafka.consumer.group:Fetcher": "consumers make one of our own",
    "kafka.coordinator.assignors.cooperative_sticky:CooperativeStickyAssignor": "a rebalance moves few partitions",
    "kafka.net.compat:KafkaNetClient.close": "a client that failed to start leaves its sockets open",
    "kafka.net.manager:KafkaConnectionManager.get_connection": "why a connection failed is only logged",
    "kafka.net.selector:NetworkSelector": "an argument of both",
    "kafka.net.inet:KafkaNetSocket._registry": "a subclass with `SCHEMES` is chosen by the scheme of `proxy_url`",
    "kafka.net.inet:KafkaNetSocket.sock_connect": "the socket of a refused connection is left open",
    "kafka.net.inet:KafkaNetSocket.socket": "a broker's last message before it hangs up is thrown away",
    "kafka.protocol.consumer:IsolationLevel": "records of aborted transactions",
    "kafka.record.default_records:DefaultRecord": "records of a batch one by one",
    "kafka.record.default_records:DefaultRecordBatch._maybe_uncompress": "a limit to what a batch expands to",
    "kafka.record.default_records:DefaultRecordBatch._read_msg": "records of a batch one by one",
    "kafka.record.legacy_records:LegacyRecordBatch": "batches of topics that are older than Kafka 0.11",
    "kafka.record.memory_records:MemoryRecords": "the batches of a fetch one by one",
    "kafka.record.util:crc32c_c": "whether checksums are fast",
    "kafka.record.util:decode_varint": "header names that are not UTF-8, and where a record ends",
}
"""Names that can be imported, as module:name, and why each is needed."""

ATTRIBUTES = {
    "kafka.consumer.fetcher:Fetcher": {"_parse_fetched_data", "_reset_offset_if_needed", "_subscriptions"},
    "kafka.consumer.fetcher:Fetcher.PartitionRecords": {
        "_consume_aborted_transactions_up_to",
        "_is_batch_aborted",
        "_unpack_records",
        "aborted_producer_ids",
        "bytes_read",
        "drain",
        "isolation_level",
        "leader_epoch",
        "next_fetch_offset",
        "record_iterator",
        "records_read",
        "topic_partition",
    },
    "kafka.consumer.group:KafkaConsumer": {"_coordinator", "_fetcher"},
    "kafka.coordinator.base:BaseCoordinator": {"rejoining", "need_rejoin", "request_rejoin"},
    "kafka.coordinator.consumer:ConsumerCoordinator": {"poll"},
    "kafka.net.connection:KafkaConnection": {"close_future"},
    "kafka.net.manager:KafkaConnectionManager": {"_conns"},
    "kafka.producer.kafka:KafkaProducer": {"_closed", "_sender"},
    "kafka.producer.sender:Sender": {"force_close"},
    "kafka.record.default_records:DefaultRecordBatch": {"_buffer", "_decompressed", "_pos"},
    "kafka.record.memory_records:MemoryRecords": {"_buffer"},
}
"""Attributes of objects, by the class that defines or sets them."""

CONFIGURATION = {"kafka_client", "proxy_url"}
"""Keys of a client's configuration that are not documented."""


def resolve(name: str) -> object:
    module, _, path = name.partition(":")
    found: object = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def sources() -> Iterator[ast.AST]:
    for path in Path(ingest.bus.kafka.__path__[0]).glob("*.py"):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def test_only_versions_that_were_tested_are_admitted_and_installed() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (kafka,) = (found for text in project["dependencies"] if (found := Requirement(text)).name == "kafka-python")

    assert version("kafka-python") in kafka.specifier
    assert "3.0.11" not in kafka.specifier
    assert "3.1" not in kafka.specifier


@pytest.mark.parametrize("name", NAMES)
def test_the_installed_version_has_the_name(name: str) -> None:
    assert resolve(name) is not None


@pytest.mark.parametrize("owner", ATTRIBUTES)
def test_the_installed_version_has_the_attributes(owner: str) -> None:
    found = resolve(owner)
    assert isinstance(found, type)
    source = inspect.getsource(found)

    missing = {name for name in ATTRIBUTES[owner] if not hasattr(found, name) and f"self.{name} =" not in source}
    assert missing == set()


def test_clients_know_the_configuration() -> None:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        assert client.DEFAULT_CONFIG.keys() >= CONFIGURATION


def test_the_bus_imports_no_private_name_that_is_not_listed_here() -> None:
    imported = {
        f"{node.module}.{alias.name}"
        for node in sources()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kafka.")
        for alias in node.names
    }
    listed = [name.replace(":", ".") for name in NAMES]

    assert {name for name in imported if not any(f"{each}.".startswith(f"{name}.") for each in listed)} == set()


def test_the_bus_uses_no_private_attribute_that_is_not_listed_here() -> None:
    used = {
        node.attr
        for node in sources()
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        and not isinstance(node.value, ast.Call)
    }

    used -= {"_replace"}  # public in spite of its name: a method of every named tuple
    assert used == {"_buffer", "_closed", "_coordinator", "_fetcher", "_sender"}
