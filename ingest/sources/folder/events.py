"""File system events, where the file system has them."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import structlog
from watchfiles import Change, watch

TICK_MS = 100

log = structlog.get_logger()


class FolderEvents(AbstractContextManager["FolderEvents"], Protocol):
    """Wakes a folder source as soon as files change."""

    def wait(self, seconds: float) -> set[Path]:
        """Return the changed paths as soon as there are any; an empty set after `seconds` or when stopped."""


class WatchedFolder(FolderEvents):
    """Watches through inotify and its equivalents; without them `wait` only waits, and rescans find the files."""

    def __init__(self, root: Path, stop: threading.Event) -> None:
        """Watch nothing yet; entering does. `stop` ends a wait."""
        self._root = root
        self._stop = stop
        self._changes: Generator[set[tuple[Change, str]], None, None] | None = None
        self._early: set[Path] = set()

    def __enter__(self) -> "WatchedFolder":
        """Start watching."""
        self._changes = watch(
            self._root,
            watch_filter=None,
            debounce=TICK_MS,
            step=20,
            rust_timeout=TICK_MS,
            yield_on_timeout=True,
            stop_event=self._stop,
            ignore_permission_denied=True,
        )
        self._early = self._next()  # watching starts with the first call, so no later change is missed
        return self

    def __exit__(self, *error: object) -> None:
        """Stop watching."""
        if self._changes is not None:
            self._changes.close()
            self._changes = None

    def wait(self, seconds: float) -> set[Path]:
        """Return the changed paths as soon as there are any; an empty set after `seconds` or when stopped."""
        deadline_s = time.monotonic() + seconds
        changed, self._early = self._early, set()
        while not changed and not self._stop.is_set() and (rest_s := deadline_s - time.monotonic()) > 0:
            if self._changes is None:
                self._stop.wait(rest_s)
            else:
                changed = self._next()
        return changed

    def _next(self) -> set[Path]:
        assert self._changes is not None
        try:
            return {Path(path) for _, path in next(self._changes, set())}
        except (OSError, RuntimeError) as error:
            log.warning(
                "the folder has no file events; rescans find new files", folder=str(self._root), error=str(error)
            )
            self._changes = None
            return set()


OpenFolderEvents = Callable[[Path, threading.Event], FolderEvents]
