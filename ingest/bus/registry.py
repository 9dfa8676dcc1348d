"""The buses by name, as the settings choose one."""

from ingest.bus.protocol import Bus
from ingest.settings import IngestSettings


def open_bus(settings: IngestSettings) -> Bus:
    """Open the bus that the settings choose; Kafka's client is imported only for Kafka.

    A bus that is unavailable is no error yet: its first use raises `BusUnavailable`.

    Raises:
        BusMisconfigured: The settings can't work.
    """
    if settings.bus == "kafka":
        from ingest.bus.kafka.bus import KafkaBus

        return KafkaBus(settings)
    from ingest.bus.embedded.bus import EmbeddedBus

    return EmbeddedBus(settings)
