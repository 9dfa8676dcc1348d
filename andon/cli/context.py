"""The context of a command: the options before its name, and the settings that they lead to."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from andon.settings import LoadedSettings, Settings


@dataclass
class CommandContext:
    """The options that apply to every command.

    Attributes:
        config: The settings file that --config names, if any.
        debug: Whether to show tracebacks and debug logs.
        command: The command as typed, such as ``andon score``, for messages.
    """

    config: Path | None = None
    debug: bool = False
    command: str = "andon"

    def load_settings(self) -> "LoadedSettings":
        """Read the settings and set up logging according to them.

        Raises:
            InvalidSettings: A file or a variable is wrong.
        """
        from andon import logging_setup
        from andon.settings import load_settings

        loaded = load_settings(self.config)
        process = loaded.settings.andon
        logging_setup.configure("debug" if self.debug else process.log_level, process.log_format)
        return loaded

    def settings(self) -> "Settings":
        """Return the settings alone, for a command that does not need their origins."""
        return self.load_settings().settings


def command_context(context: typer.Context) -> CommandContext:
    """Return the context that `main` made for this command line."""
    return context.ensure_object(CommandContext)
