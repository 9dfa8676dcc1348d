"""Settings of alerts: how often rules are evaluated, and the plant's calendar."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts.kpis.shifts import PlantCalendar, parse_plant_calendar


class AlertsSettings(BaseModel):
    """Settings of alerts; the time zone and the shifts are validated here, so that no report fails because of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check_interval_s: float = Field(
        2.0,
        ge=0.1,
        le=60,
        description="Seconds between two evaluations of the rules by a scorer or `andon alerts watch`, for example 2.",
    )
    time_zone: str = Field(
        "UTC", description="The plant's time zone, in which days and shifts are counted, for example Europe/Berlin."
    )
    shifts: str = Field(
        "early=06:00,late=14:00,night=22:00",
        description="The shifts and when each begins, for example early=06:00,late=14:00,night=22:00.",
    )
    defect_opportunities: int = Field(
        1, ge=1, le=1000, description="How many different defects one part can have, which DPMO counts, for example 5."
    )

    @model_validator(mode="after")
    def _plant_can_be_read(self) -> "AlertsSettings":
        parse_plant_calendar(self.time_zone, self.shifts)
        return self

    @property
    def plant(self) -> PlantCalendar:
        """The time zone and the shifts, parsed."""
        return parse_plant_calendar(self.time_zone, self.shifts)
