"""The settings of the dashboard."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class DashboardSettings(BaseModel):
    """The address that the dashboard listens on, how often it refreshes, and how people log in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; 0.0.0.0 opens the dashboard to the network: add a user first, or anybody on "
        "it is an admin",
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
