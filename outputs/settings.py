"""Settings of outputs: one table per output, and what all of them share."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


class OutputsSettings(BaseModel):
    """Settings of outputs. Every further key is an output's name with a table of its `kind` and that kind's keys."""

    model_config = ConfigDict(frozen=True, extra="allow")

    poll_interval_s: float = Field(
        0.5, gt=0, le=60, description="Seconds between two looks for new verdicts by `andon outputs run`, such as 0.5."
    )
    retry_backoff_s: float = Field(
        1.0, gt=0, description="Seconds before the first retry of an output that failed; doubled with each failure."
    )
    retry_backoff_max_s: float = Field(60.0, gt=0, description="The longest wait in seconds before a retry.")

    @model_validator(mode="after")
    def _outputs_are_tables(self) -> "OutputsSettings":
        for name, table in self.tables.items():
            if not isinstance(table, Mapping):
                raise ValueError(f"{name} is neither a known key nor an output's table: write [outputs.{name}]")
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} can't name an output: use 1 to 64 of a-z, 0-9, dash and underscore")
        return self

    @property
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The outputs' tables by name."""
        return self.__pydantic_extra__ or {}
