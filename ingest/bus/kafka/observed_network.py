"""kafka-python's network, which also tells why a connection failed: a client that can't start raises a timeout alone.

kafka-python logs the reasons, but whether a logger hands on what it is told is a setting, and Andon turns this one off.
"""

from typing import Any

from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from ingest.bus.kafka.errors import PERMANENT_ERRORS


class ConnectionFailures:
    """The failure that explains why no connection stands: the first that waiting does not resolve, else the last."""

    def __init__(self) -> None:
        """Start without failures."""
        self.cause: Exception | None = None

    def add(self, failure: Exception) -> None:
        """Take in why a connection was lost or not made."""
        if not isinstance(self.cause, PERMANENT_ERRORS):
            self.cause = failure


class _ObservedConnections(KafkaConnectionManager):  # type: ignore[misc]
    """Adds the reason of each connection that ends with an error to `failures`."""

    failures: ConnectionFailures

    def get_connection(self, node_id: Any, *args: Any, **options: Any) -> Any:
        """Return the connection to a broker as kafka-python does."""
        exists = node_id in self._conns
        connection = super().get_connection(node_id, *args, **options)
        if not exists:
            connection.close_future.add_errback(self.failures.add)
        return connection


class ObservedNetwork(KafkaNetClient):  # type: ignore[misc]
    """The network part of a client, with the failures of its connections."""

    def __init__(self, **config: Any) -> None:
        """Start without connections; `config` is the client's."""
        self.failures = ConnectionFailures()
        network = NetworkSelector(**config)
        connections = _ObservedConnections(network, **config)
        connections.failures = self.failures
        super().__init__(network, connections, **config)
