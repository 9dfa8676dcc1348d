"""A camera PC has the core dependencies alone: no torch, no Streamlit, no database."""

import subprocess
import sys

MODULES = (
    "ingest.bus.embedded.bus",
    "ingest.bus.kafka.bus",
    "ingest.bus.registry",
    "ingest.capture",
    "ingest.producer.producer",
    "ingest.schema",
    "ingest.sources.registry",
)
HEAVY = {"torch", "streamlit", "sqlalchemy", "scipy", "skimage", "matplotlib", "pandas", "open_clip"}


def test_sources_bus_and_producer_import_the_core_dependencies_alone() -> None:
    statement = f"import sys, {', '.join(MODULES)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, check=True
    ).stdout.split()

    assert HEAVY & set(loaded) == set()
