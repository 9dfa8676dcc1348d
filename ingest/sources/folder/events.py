"""Events of the file system, where it gives any."""

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
    """Wakes a folder source early."""

    def wait(self, seconds: float) -> set[Path]:
        """Return the paths that changed as soon as some did, or nothing after `seconds` or when stopped."""


class WatchedFolder(FolderEvents):
    """inotify and its like through watchfiles; without them `wait` just waits, and rescans do the work."""

    def __init__(self, root: Path, stop: threading.Event) -> None:
        self._root = root
        self._stop = stop
        self._changes: Generator[set[tuple[Change, str]], None, None] | None = None
        self._early: set[Path] = set()

    def __enter__(self) -> "WatchedFolder":
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
        self._early = self._next()  # the watch begins with the first question, so nothing after this is missed
        return self

    def __exit__(self, *error: object) -> None:
        if self._changes is not None:
            self._changes.close()
            self._changes = None

    def wait(self, seconds: float) -> set[Path]:
        until_s = time.monotonic() + seconds
        changed, self._early = self._early, set()
        while not changed and not self._stop.is_set() and (left_s := until_s - time.monotonic()) > 0:
            if self._changes is None:
                self._stop.wait(left_s)
            else:
                changed = self._next()
        return changed

    def _next(self) -> set[Path]:
        assert self._changes is not None
        try:
            return {Path(path) for _, path in next(self._changes, set())}
        except (OSError, RuntimeError) as error:
            log.warning("No file events for this folder; looking every few seconds.", folder=str(self._root), why=error)
            self._changes = None
            return set()


OpenFolderEvents = Callable[[Path, threading.Event], FolderEvents]
