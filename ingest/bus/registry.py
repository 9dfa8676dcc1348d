"""Which bus the settings ask for."""

from ingest.bus.protocol import Bus
from ingest.settings import IngestSettings


def open_bus(settings: IngestSettings) -> Bus:
    """Open the bus; Kafka's client is loaded only where it is asked for.

    Raises `BusMisconfigured` when it never will work. A bus that is away is no error yet: its first use says so.
    """
    if settings.bus == "kafka":
        from ingest.bus.kafka.bus import KafkaBus

        return KafkaBus(settings)
    from ingest.bus.embedded.bus import EmbeddedBus

    return EmbeddedBus(settings)
