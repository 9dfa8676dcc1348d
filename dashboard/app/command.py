"""The command that starts the dashboard: Streamlit in a process of its own."""

import sys
from pathlib import Path

from dashboard.app.settings import DashboardSettings, allowed_hosts

SETTINGS_FLAG = "--dashboard-settings"


def command(settings: DashboardSettings) -> list[str]:
    """Return the argument vector that starts a dashboard with these settings.

    The settings of other rooms come in the environment: ANDON_STORAGE__DATABASE_URL, ANDON_STORAGE__IMAGES_URL and
    ANDON_ALERTS__….
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
        *(
            word
            for name in allowed_hosts(settings)
            for scheme in ("http", "https")
            for word in ("--server.corsAllowedOrigins", f"{scheme}://{name}")
        ),
        *(("--secrets.files", str(settings.login_file)) if settings.login_file else ()),
        "--",
        SETTINGS_FLAG,
        settings.model_dump_json(),
    ]


def settings_from(arguments: list[str]) -> DashboardSettings:
    """Return the settings that `command` put into the arguments, or the defaults without any."""
    if SETTINGS_FLAG not in arguments:
        return DashboardSettings()
    return DashboardSettings.model_validate_json(arguments[arguments.index(SETTINGS_FLAG) + 1])
