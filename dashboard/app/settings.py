"""The settings of the dashboard."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class DashboardSettings(BaseModel):
    """The address that the dashboard listens on, how often it refreshes, and how people log in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; 0.0.0.0 opens the dashboard to the network, which needs a user first",
    )
    allow_anybody: bool = Field(
        False,
        description="whether the dashboard starts on the network while there is no user, so that anybody on it is an "
        "admin; for a network of one's own",
    )
    allowed_hosts: str = Field(
        "",
        description="names by which browsers reach the dashboard, beside localhost, this machine's name and addresses "
        "in digits, e.g. andon.plant.example,line-3; * allows any, and with it DNS rebinding",
    )
    port: int = Field(8501, ge=1, le=65535, description="TCP port to listen on, e.g. 8501")
    refresh_every_s: float = Field(2.0, gt=0, le=3600, description="refresh period of the live parts, in seconds")
    window_minutes: float = Field(
        60.0, gt=0, le=7 * 24 * 60, description="time range of the wall's flagged share, in minutes, e.g. 60"
    )
    sparkline_scores: int = Field(60, ge=10, le=500, description="number of scores in a tile's sparkline, e.g. 60")
    worker_timeout_s: float = Field(
        30.0,
        gt=0,
        description="a scorer without a heartbeat for this many seconds counts as not running; well above its "
        "heartbeat period, e.g. 30",
    )
    login_file: Path | None = Field(
        None,
        description="TOML file with the [auth] section of Streamlit's own login (OIDC), e.g. /etc/andon/login.toml; "
        "without one, people log in by name and password",
    )
    login_claim: str = Field(
        "email", description="claim of the login service that names the user, e.g. email or preferred_username"
    )


def allowed_hosts(settings: DashboardSettings) -> Iterator[str]:
    """Return the names in the setting, in small letters."""
    return (name.strip().lower().rstrip(".") for name in settings.allowed_hosts.split(",") if name.strip())
