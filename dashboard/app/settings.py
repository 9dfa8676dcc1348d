"""What the dashboard can be told."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class DashboardSettings(BaseModel):
    """Where the dashboard listens and how often it looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; 0.0.0.0 shows the dashboard to the network: add a user first, or anybody on "
        "it is an admin",
    )
    port: int = Field(8501, ge=1, le=65535, description="TCP port to listen on, e.g. 8501")
    refresh_every_s: float = Field(2.0, gt=0, le=3600, description="how often the live parts look again, in seconds")
    window_minutes: float = Field(
        60.0, gt=0, le=7 * 24 * 60, description="how far back the wall's flagged share looks, in minutes, e.g. 60"
    )
    sparkline_scores: int = Field(60, ge=10, le=500, description="scores in a tile's sparkline, e.g. 60")
    worker_timeout_s: float = Field(
        30.0, gt=0, description="a scorer unseen for so long counts as gone, in seconds; well above its beat, e.g. 30"
    )
    login_file: Path | None = Field(
        None,
        description="TOML file with the [auth] section of Streamlit's own login (OIDC), e.g. /etc/andon/login.toml; "
        "without one, people log in by name and password",
    )
    login_claim: str = Field(
        "email", description="which claim of the login service names the user here, e.g. email or preferred_username"
    )
