"""A real Apache Kafka (KRaft), resolved by Maven and started on free ports: one node, and a cluster of three."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from testing.availability import skip_unavailable

PROJECT = Path(__file__).resolve().parents[2]
POM = PROJECT / "deploy" / "kafka" / "pom.xml"
RESOLVE = ["mvn", "-B", "-q", "-f", str(POM), "process-resources"]
_START_TIMEOUT_S = 150.0


@dataclass
class KafkaNode:
    """One broker and controller; `kill` sends SIGKILL, `start` starts it again with its disk."""

    number: int
    port: int
    controller_port: int
    folder: Path
    heap: str
    jars: Path
    extra: Mapping[str, object] = field(default_factory=dict)
    secure_port: int | None = None
    users: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def configuration(self) -> Path:
        """Return the file of its configuration."""
        return self.folder / "server.properties"

    @property
    def _listeners(self) -> str:
        secure = "" if self.secure_port is None else f",SASL_SSL://127.0.0.1:{self.secure_port}"
        return f"PLAINTEXT://127.0.0.1:{self.port}{secure}"

    def format(self, cluster_id: str, nodes: "Sequence[KafkaNode]") -> None:
        """Start to format its folder; `finish` waits for it."""
        copies = min(3, len(nodes))
        self.folder.mkdir(parents=True)
        self.configuration.write_text(
            "\n".join(
                f"{name}={value}"
                for name, value in {
                    "process.roles": "broker,controller",
                    "node.id": self.number,
                    "controller.quorum.voters": ",".join(f"{n.number}@127.0.0.1:{n.controller_port}" for n in nodes),
                    "listeners": f"{self._listeners},CONTROLLER://127.0.0.1:{self.controller_port}",
                    "advertised.listeners": self._listeners,
                    "controller.listener.names": "CONTROLLER",
                    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
                    "log.dirs": self.folder / "log",
                    "offsets.topic.num.partitions": 4,
                    "offsets.topic.replication.factor": copies,
                    "transaction.state.log.replication.factor": copies,
                    "transaction.state.log.min.isr": max(1, copies - 1),
                    "min.insync.replicas": max(1, copies - 1),
                    "group.initial.rebalance.delay.ms": 0,
                    "auto.create.topics.enable": "false",
                    "broker.session.timeout.ms": 6000,
                    "num.network.threads": 2,
                    "num.io.threads": 4,
                    **self.extra,
                }.items()
            )
        )
        users = [word for user in self.users for word in ("--add-scram", user)]
        self.process = self._java(
            "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self.configuration), *users
        )

    def start(self) -> None:
        """Start the process."""
        self.process = self._java("kafka.Kafka", str(self.configuration))

    def wait_for_exit(self) -> None:
        """Wait until its process has ended."""
        if self.process is not None:
            self.process.wait(_START_TIMEOUT_S)
            self.process = None

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def output(self) -> str:
        """Return the end of its output."""
        return (self.folder / "output.txt").read_text(errors="replace")[-2000:]

    def _java(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [
                    "java",
                    f"-Xmx{self.heap}",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                    "-cp",
                    f"{self.jars}/*",
                    *command,
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_exit_with_parent,
            )


@dataclass
class KafkaCluster:
    """The nodes of one cluster; with three, a topic has 3 replicas, of which 2 must be in sync."""

    nodes: list[KafkaNode] = field(default_factory=list)

    @property
    def bootstrap(self) -> str:
        """Return the addresses of its brokers, as `kafka_bootstrap_servers` takes them."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def replication(self) -> int:
        """Return the replicas of a topic."""
        return min(3, len(self.nodes))

    def start(self) -> None:
        """Start the nodes that do not run, and wait until the cluster is complete."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        self.wait_until_complete()

    def wait_until_complete(self) -> None:
        """Wait until no broker is fenced and every replica of every partition is in sync."""
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        from ingest.bus.kafka.connection import KafkaConnection  # it closes the connections of a failed attempt
        from ingest.errors import BusUnavailable
        from ingest.settings import IngestSettings

        connection = KafkaConnection(IngestSettings(kafka_bootstrap_servers=self.bootstrap))
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            for node in self.nodes:
                if node.process is None or node.process.poll() is not None:
                    pytest.fail(f"Kafka node {node.number} ended: {node.output()}", pytrace=False)
            with (
                contextlib.suppress(BusUnavailable, KafkaError),
                contextlib.closing(connection.open(KafkaAdminClient)) as admin,
            ):
                brokers = admin.describe_cluster()["brokers"]  # with those that are down, which are fenced
                serving = [broker for broker in brokers if not broker.get("is_fenced", False)]
                partitions = [each for topic in admin.describe_topics() for each in topic["partitions"]]
                in_sync = all(len(each["isr_nodes"]) == len(each["replica_nodes"]) for each in partitions)
                if len(serving) == len(self.nodes) and in_sync:
                    return
            time.sleep(0.2)
        pytest.fail(f"Kafka is not up after {_START_TIMEOUT_S} s: {self.nodes[0].output()}", pytrace=False)

    def leader(self, topic: str, partition: int) -> KafkaNode:
        """Return the node that leads this partition now."""
        from kafka import KafkaAdminClient

        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","))) as admin:
            (described,) = admin.describe_topics([topic])
        leading = {each["partition_index"]: each["leader_id"] for each in described["partitions"]}
        return next(node for node in self.nodes if node.number == leading[partition])

    def stop(self) -> None:
        """Kill every node."""
        for node in self.nodes:
            node.kill()


def start_kafka(
    folder: Path, nodes: int, heap: str, extra: Mapping[str, object] | None = None, users: Sequence[str] = ()
) -> KafkaCluster:
    """Start a cluster of `nodes` in `folder`; its `stop` ends it.

    `extra` broker settings, if any, are for a second listener with TLS and passwords on `secure_port`; `users` are its
    SCRAM users, as ``SCRAM-SHA-512=[name=andon,password=right]``.
    """
    jars_folder = _kafka_jars()
    ports = _free_ports(3 * nodes)
    cluster = KafkaCluster(
        [
            KafkaNode(
                number + 1,
                ports[3 * number],
                ports[3 * number + 1],
                folder / f"node-{number + 1}",
                heap,
                jars_folder,
                extra or {},
                ports[3 * number + 2] if extra else None,
                users,
            )
            for number in range(nodes)
        ]
    )
    cluster_id = uuid.uuid4().hex[:22]
    try:
        for node in cluster.nodes:
            node.format(cluster_id, cluster.nodes)
        for node in cluster.nodes:
            node.wait_for_exit()
        cluster.start()
    except BaseException:
        cluster.stop()
        raise
    return cluster


@pytest.fixture(scope="session")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Run a Kafka of one node for all tests: keep it running, and use your own topics and groups."""
    cluster = start_kafka(tmp_path_factory.mktemp("kafka"), nodes=1, heap="512m")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka_node: KafkaCluster) -> str:
    """Return the host:port of a real Kafka."""
    return kafka_node.bootstrap


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Run a Kafka of three nodes; a test that kills one starts it again and waits until the cluster is complete."""
    cluster = start_kafka(tmp_path_factory.mktemp("kafka-of-three"), nodes=3, heap="384m")
    yield cluster
    cluster.stop()


def _kafka_jars() -> Path:
    """Return the folder of Kafka's jars, which Maven resolves when it is missing."""
    if shutil.which("java") is None:
        skip_unavailable("there is no java here; install a JRE of version 17 or newer for the tests on a real Kafka")
    version = re.search(r"<kafka.version>(.+?)</kafka.version>", POM.read_text())
    assert version is not None
    folder = PROJECT / ".kafka" / version[1]
    if not list(folder.glob("kafka_2.13-*.jar")):
        if shutil.which("mvn") is None:
            skip_unavailable(
                "Kafka's jars are not in .kafka/ and there is no mvn here; install Maven, or run `make kafka`"
            )
        resolved = subprocess.run(RESOLVE, capture_output=True, text=True, timeout=300)
        if resolved.returncode != 0:
            skip_unavailable(f"Maven can't resolve Kafka's jars: {resolved.stdout[-300:]}")
    return folder


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _exit_with_parent() -> None:
    """On Linux, end when the test run is killed, so that no broker is left running."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
