"""Connections to Kafka by the settings."""

import socket
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import structlog
from kafka.record import util as kafka_checksums

from foundation.addresses import is_loopback
from ingest.bus.kafka.errors import translate_error, translate_errors
from ingest.bus.kafka.observed_network import ObservedNetwork
from ingest.bus.kafka.sockets import SCHEME, TLSSocket
from ingest.bus.protocol import MAX_MESSAGE_BYTES
from ingest.errors import BusMisconfigured, BusUnavailable
from ingest.settings import IngestSettings

_CONNECT_TIMEOUT_S = 5.0

MAX_REQUEST_BYTES = MAX_MESSAGE_BYTES + 100_000
"""A message with a generous allowance for the overhead of Kafka's format."""

METADATA_MAX_AGE_S = 10.0
"""How long partitions that somebody adds to a topic stay unread: kafka-python's own five minutes would hide frames."""

Client = TypeVar("Client")

log = structlog.get_logger()


class KafkaConnection:
    """Opens kafka-python's clients, each within some seconds or not at all."""

    def __init__(self, settings: IngestSettings) -> None:
        """Raise `BusMisconfigured` for settings that can't work, whatever the brokers answer."""
        if kafka_checksums.crc32c_c is None:
            raise BusMisconfigured(
                "kafka-python has no fast CRC-32C and would check images byte by byte; "
                'install it with its extra: pip install "kafka-python[crc32c]".'
            )
        self.servers = _servers(settings.kafka_bootstrap_servers)
        if settings.kafka_security_protocol.startswith("SASL") and not (
            settings.kafka_sasl_mechanism and settings.kafka_sasl_username and settings.kafka_sasl_password
        ):
            raise BusMisconfigured(
                f"The setting kafka_security_protocol = {settings.kafka_security_protocol} needs kafka_sasl_mechanism, "
                "kafka_sasl_username and kafka_sasl_password."
            )
        if settings.kafka_security_protocol == "SASL_PLAINTEXT" and settings.kafka_sasl_mechanism == "PLAIN":
            warn_of_clear_password(tuple(host for host, _ in self.servers if not is_loopback(host)))
        password = settings.kafka_sasl_password
        self._config = {
            "bootstrap_servers": [f"{host}:{port}" for host, port in self.servers],
            "security_protocol": settings.kafka_security_protocol,
            "ssl_context": _ssl_context(settings),
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": None if password is None else password.get_secret_value(),
            "bootstrap_timeout_ms": int(_CONNECT_TIMEOUT_S * 1000),
            "reconnect_backoff_max_ms": 2000,
            "metadata_max_age_ms": int(METADATA_MAX_AGE_S * 1000),
            "proxy_url": f"{SCHEME}://",
            "request_timeout_ms": int(settings.kafka_unavailable_after_s * 1000 * 2 / 3),
        }

    def open(self, client: Callable[..., Client], **config: Any) -> Client:
        """Return a new client of kafka-python.

        A client that fails to start leaves its threads and sockets open, so its network part is closed here.

        Raises:
            BusUnavailable: No broker can be reached.
            BusMisconfigured: The brokers refuse permanently.
        """
        self._require_broker()
        networks: list[ObservedNetwork] = []

        def create_network(**config: Any) -> ObservedNetwork:
            networks.append(ObservedNetwork(**config))
            return networks[-1]

        try:
            with translate_errors():
                return client(**{**self._config, **config, "kafka_client": create_network})
        except (BusUnavailable, BusMisconfigured) as error:
            for network in networks:
                network.close()
            causes = [cause for network in networks if (cause := network.failures.cause)]
            if isinstance(error, BusUnavailable) and causes:
                raise translate_error(causes[-1]) from causes[-1]
            raise

    def _require_broker(self) -> None:
        """Raise `BusUnavailable` unless a broker accepts a connection; the client itself reports that later."""
        refused = []
        for host, port in self.servers:
            try:
                socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S / len(self.servers)).close()
            except OSError as error:
                refused.append(f"{host}:{port} ({error})")
            else:
                return
        raise BusUnavailable(f"Kafka can't be reached at {', '.join(refused)}.")


@cache
def warn_of_clear_password(hosts: tuple[str, ...]) -> None:
    """Warn, once in a process, that brokers on the network get the password in clear."""
    if hosts:
        log.warning(
            "the password for Kafka travels in clear: set ingest.kafka_security_protocol to SASL_SSL, or the mechanism "
            "to SCRAM-SHA-512",
            brokers=", ".join(hosts),
        )


def _servers(text: str) -> list[tuple[str, int]]:
    servers = []
    for part in text.split(","):
        host, _, port = part.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise BusMisconfigured(f"The setting kafka_bootstrap_servers has {part.strip()!r}, which is not host:port.")
        servers.append((host.strip("[]"), int(port)))
    return servers


def _ssl_context(settings: IngestSettings) -> ssl.SSLContext | None:
    """Return the TLS context; the client itself would report a missing file only as a failed handshake."""
    if "SSL" not in settings.kafka_security_protocol:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
        context.sslsocket_class = TLSSocket
        if settings.kafka_ssl_certfile is not None:
            context.load_cert_chain(settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    except OSError as error:  # ssl.SSLError is one
        files = [settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile]
        named = ", ".join(str(file) for file in files if file is not None)
        raise BusMisconfigured(f"Kafka's certificate files can't be used ({named}): {error}.") from error
    return context
