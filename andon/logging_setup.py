"""Log lines: structlog and the libraries' standard logging, one shape, on stderr."""

import logging
import sys
from typing import TextIO

import structlog

from andon.cli.terminal import visible
from foundation.masking import mask_all

LIBRARY_LEVELS = {  # the lowest levels that these libraries log, unless everything is requested
    "alembic": logging.WARNING,
    "fsspec": logging.WARNING,
    "PIL": logging.WARNING,
    "watchfiles": logging.WARNING,
    "kafka": logging.CRITICAL,  # it logs each lost connection as an error; the bus reports an outage once
}


class _CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to the current sys.stderr, so that a progress bar which borrows it keeps lines above itself."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Nothing to keep."""


_EXCEPTION_AS_JSON = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # a local variable may be a password
)


def _mask(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Mask the passwords and tokens in every text of a log line, tracebacks included."""
    return {name: mask_all(value) for name, value in event.items()}


def _show_control_characters(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Write escape sequences in texts of others, such as file names, as escapes: a terminal would obey them."""
    return {name: _visible(value) for name, value in event.items()}


def _visible(value: object) -> object:
    return "\n".join(map(visible, value.split("\n"))) if isinstance(value, str) else value


def configure(level: str, shape: str) -> None:
    """Send logs of at least `level` to stderr as ``text``, ``json``, or ``auto``: text on a terminal, json else."""
    text = shape == "text" or (shape == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[structlog.typing.Processor] = (
        [
            structlog.processors.format_exc_info,
            _mask,
            _show_control_characters,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if text
        else [_EXCEPTION_AS_JSON, _mask, structlog.processors.JSONRenderer()]
    )
    handler = _CurrentStderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else least)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
