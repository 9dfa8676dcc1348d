"""How to reach Kafka by the settings, and what kafka-python's errors mean to a person."""

import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.record import util as kafka_checksums

from ingest.bus.kafka.sockets import SCHEME, TLSSocket
from ingest.errors import BusMisconfigured, BusUnavailable, MessageTooLarge
from ingest.settings import IngestSettings

_CONNECT_WITHIN_S = 5.0
_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_FOR_GOOD = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.SecurityDisabledError,
    errors.KafkaConfigurationError,
    errors.UnsupportedVersionError,
    errors.InvalidTopicError,
    errors.InvalidPartitionsError,
    errors.InvalidReplicationFactorError,
    errors.InvalidConfigurationError,
    errors.InvalidGroupIdError,
    errors.InvalidSessionTimeoutError,
    errors.InconsistentGroupProtocolError,
    errors.PolicyViolationError,
    errors.UnsupportedCodecError,
)

Client = TypeVar("Client")


class KafkaConnection:
    """Opens kafka-python's clients, each within a few seconds or not at all."""

    def __init__(self, settings: IngestSettings) -> None:
        """Raises `BusMisconfigured` for settings that can't work whatever the brokers say."""
        if kafka_checksums.crc32c_c is None:
            raise BusMisconfigured(
                "kafka-python has no fast CRC-32C here and would check images byte by byte; "
                'install it with its extra: pip install "kafka-python[crc32c]"'
            )
        self.servers = _servers(settings.kafka_bootstrap_servers)
        if settings.kafka_security_protocol.startswith("SASL") and not (
            settings.kafka_sasl_mechanism and settings.kafka_sasl_username and settings.kafka_sasl_password
        ):
            raise BusMisconfigured(
                f"kafka_security_protocol {settings.kafka_security_protocol} needs kafka_sasl_mechanism, "
                "kafka_sasl_username and kafka_sasl_password"
            )
        password = settings.kafka_sasl_password
        self._config = {
            "bootstrap_servers": [f"{host}:{port}" for host, port in self.servers],
            "security_protocol": settings.kafka_security_protocol,
            "ssl_context": _ssl_context(settings),
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": None if password is None else password.get_secret_value(),
            "bootstrap_timeout_ms": int(_CONNECT_WITHIN_S * 1000),
            "reconnect_backoff_max_ms": 2000,
            "proxy_url": f"{SCHEME}://",
            "request_timeout_ms": int(settings.kafka_unavailable_after_s * 1000 * 2 / 3),
        }

    def open(self, client: Callable[..., Client], **config: Any) -> Client:
        """Make one of kafka-python's clients; raises `BusUnavailable` or `BusMisconfigured`.

        A client that fails to start leaves its threads and sockets behind, so its network part is closed here.
        """
        self._knock()
        networks: list[KafkaNetClient] = []

        def network(**given: Any) -> KafkaNetClient:
            networks.append(KafkaNetClient(**given))
            return networks[-1]

        with _Overhearing() as overheard:
            try:
                with translate_errors():
                    return client(**{**self._config, **config, "kafka_client": network})
            except (BusUnavailable, BusMisconfigured) as error:
                for each in networks:
                    each.close()
                raise (overheard.cause(error) or error) from error.__cause__

    def _knock(self) -> None:
        """See whether any broker takes a connection: sooner and plainer than the client's own attempts."""
        refused = []
        for host, port in self.servers:
            try:
                socket.create_connection((host, port), timeout=_CONNECT_WITHIN_S / len(self.servers)).close()
            except OSError as error:
                refused.append(f"{host}:{port} ({error})")
            else:
                return
        raise BusUnavailable(f"Kafka can't be reached at {', '.join(refused)}")


class _Overhearing(logging.Handler):
    """Keeps why connections were lost, which kafka-python tells its log only: all it raises is that time ran out."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._errors: list[Exception] = []
        self._log = logging.getLogger("kafka.net.connection")

    def emit(self, record: logging.LogRecord) -> None:
        told = record.args if isinstance(record.args, tuple) else ()
        self._errors += [each for each in told if isinstance(each, Exception)]

    def cause(self, error: Exception) -> BusUnavailable | BusMisconfigured | None:
        """What to raise in place of a timeout: a refusal if one was heard, else the last thing that was."""
        if not isinstance(error, BusUnavailable) or not self._errors:
            return None
        return translate_error(next((each for each in self._errors if isinstance(each, _FOR_GOOD)), self._errors[-1]))

    def __enter__(self) -> "_Overhearing":
        self._log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Say kafka-python's errors in one sentence, as the bus's own."""
    try:
        yield
    except (errors.KafkaError, OSError, ValueError, TypeError, AssertionError) as error:
        raise translate_error(error) from error


def translate_error(error: Exception) -> BusUnavailable | BusMisconfigured:
    """`MessageTooLarge` for one message, `BusMisconfigured` for what no waiting mends, else `BusUnavailable`."""
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, _TOO_LARGE):
        return MessageTooLarge(f"Kafka refuses a message for its size ({said})")
    if isinstance(error, _FOR_GOOD):
        return BusMisconfigured(f"Kafka says no ({said})")
    if not isinstance(error, errors.KafkaError | OSError):
        return BusMisconfigured(f"Kafka's client refuses ({said})")
    return BusUnavailable(f"Kafka is not available ({said})")


def _servers(text: str) -> list[tuple[str, int]]:
    servers = []
    for part in text.split(","):
        host, _, port = part.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise BusMisconfigured(f"kafka_bootstrap_servers has {part.strip()!r}, which is not host:port")
        servers.append((host.strip("[]"), int(port)))
    return servers


def _ssl_context(settings: IngestSettings) -> ssl.SSLContext | None:
    """Made here and not by the client, which would say of a missing file only that a handshake failed."""
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
        raise BusMisconfigured(f"Kafka's certificate files can't be used ({named}): {error}") from error
    return context
