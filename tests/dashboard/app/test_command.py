import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dashboard.app import command as command_module
from dashboard.app.command import command, settings_from
from dashboard.app.settings import DashboardSettings
from dashboard.time_ranges import TIME_RANGES


def test_the_dashboard_is_started_by_streamlit_with_host_and_port() -> None:
    arguments = command(DashboardSettings(host="0.0.0.0", port=9000))
    assert arguments[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert arguments[4].endswith("server.py")
    assert arguments[arguments.index("--server.port") + 1] == "9000"
    assert arguments[arguments.index("--server.address") + 1] == "0.0.0.0"
    assert arguments[arguments.index("--server.headless") + 1] == "true"


def test_the_settings_reach_the_process() -> None:
    settings = DashboardSettings(port=9000, refresh_every_s=0.5, window_minutes=15)
    arguments = command(settings)
    assert settings_from(arguments[arguments.index("--") + 1 :]) == settings
    assert settings_from([]) == DashboardSettings()


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        DashboardSettings(prot=8501)  # type: ignore[call-arg]


def test_the_folder_that_streamlit_puts_on_the_path_hides_no_other_module() -> None:
    names = {
        path.stem for path in Path(command_module.__file__).parent.glob("*") if not path.name.startswith(("_", "."))
    }
    rooms = {path.name for path in Path(command_module.__file__).parents[2].iterdir() if path.is_dir()}
    assert names.isdisjoint(sys.stdlib_module_names | rooms)


def test_the_dashboard_knows_neither_torch_nor_the_scorer() -> None:
    every_module = (
        "import importlib, pkgutil, sys, dashboard\n"
        "for found in pkgutil.walk_packages(dashboard.__path__, 'dashboard.'):\n"
        "    if found.name != 'dashboard.app.main':\n"
        "        importlib.import_module(found.name)\n"
        "print([name for name in ('torch', 'scorer', 'ingest', 'andon') if name in sys.modules])"
    )
    arguments = subprocess.run([sys.executable, "-c", every_module], capture_output=True, text=True, check=True)
    assert arguments.stdout.strip() == "[]"


@pytest.mark.parametrize("span", TIME_RANGES.values(), ids=lambda span: span.name)
def test_every_time_range_has_160_to_192_buckets(span: object) -> None:
    span = TIME_RANGES[span.name]  # type: ignore[attr-defined]
    assert 160 <= span.length / span.bucket <= 192
    now = datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC)
    since, until = span.window(now)
    assert until - since == span.length
    assert now < until <= now + span.bucket
    assert (until.timestamp() % span.bucket.total_seconds()) == 0
    assert 2 <= span.refresh_every_s(2) <= 60


def test_a_short_range_refreshes_at_the_period_of_the_settings() -> None:
    assert TIME_RANGES["15 min"].refresh_every_s(2) == 2
    assert TIME_RANGES["30 d"].refresh_every_s(2) == 60
    assert TIME_RANGES["1 h"].window(datetime(2026, 11, 24, 12, 0, tzinfo=UTC))[1] > datetime(
        2026, 11, 24, 12, 0, tzinfo=UTC
    ) - timedelta(seconds=1)
