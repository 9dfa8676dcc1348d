"""What every command is handed: the options before the command's name, and the settings they lead to."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from andon.settings import LoadedSettings, Settings


@dataclass
class CommandContext:
    """`config` is the settings file named by hand; `debug` shows tracebacks instead of sentences."""

    config: Path | None = None
    debug: bool = False

    def in_force(self) -> "LoadedSettings":
        """Read the settings and set up logs as they say; raises `InvalidSettings`."""
        from andon import logging_setup
        from andon.settings import load_settings

        in_force = load_settings(self.config)
        logging_setup.configure(
            "debug" if self.debug else in_force.settings.andon.log_level, in_force.settings.andon.log_format
        )
        return in_force

    def settings(self) -> "Settings":
        """The settings alone, for commands that don't care where a value came from."""
        return self.in_force().settings


def command_context(context: typer.Context) -> CommandContext:
    """The command line's `Front`."""
    return context.ensure_object(CommandContext)
