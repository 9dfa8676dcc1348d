"""How the dashboard is started: as a process of its own, by Streamlit."""

import sys
from pathlib import Path

from dashboard.app.settings import DashboardSettings

SETTINGS_FLAG = "--dashboard-settings"


def command(settings: DashboardSettings) -> list[str]:
    """The argument vector of a dashboard with these settings.

    What belongs to other rooms comes by the environment: ANDON_STORAGE__DATABASE_URL, ANDON_STORAGE__IMAGES_URL, and
    what is set of ANDON_ALERTS__….
    """
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(Path(__file__).with_name("server.py")),
        "--server.address",
        settings.host,
        "--server.port",
        str(settings.port),
        "--server.headless",
        "true",
        *(("--secrets.files", str(settings.login_file)) if settings.login_file else ()),
        "--",
        SETTINGS_FLAG,
        settings.model_dump_json(),
    ]


def settings_from(arguments: list[str]) -> DashboardSettings:
    """The settings that `command` packed; the defaults where there are none."""
    if SETTINGS_FLAG not in arguments:
        return DashboardSettings()
    return DashboardSettings.model_validate_json(arguments[arguments.index(SETTINGS_FLAG) + 1])
