"""What every command is handed: the options before the command's name, and the settings they lead to."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from andon.settings import InForce, Settings


@dataclass
class Front:
    """`config` is the settings file named by hand; `debug` shows tracebacks instead of sentences."""

    config: Path | None = None
    debug: bool = False

    def in_force(self) -> "InForce":
        """Read the settings and set up logs as they say; raises `SettingsWrong`."""
        from andon import logs
        from andon.settings import load

        in_force = load(self.config)
        logs.configure("debug" if self.debug else in_force.settings.andon.log_level, in_force.settings.andon.log_format)
        return in_force

    def settings(self) -> "Settings":
        """The settings alone, for commands that don't care where a value came from."""
        return self.in_force().settings


def front(context: typer.Context) -> Front:
    """The command line's `Front`."""
    return context.ensure_object(Front)
