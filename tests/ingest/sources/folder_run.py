"""A run of a folder source in which time passes as a test says."""

import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ingest.frame import Frame
from ingest.sources.folder.events import FolderEvents
from ingest.sources.folder.folder import Folder
from ingest.sources.folder.processed_files import ProcessedFiles

SETTLE_S = 1.0


STATION = "folder-station"


class FolderRun:
    """A run of a folder source: time passes only in its waits, each of which ends in an action.

    An action that returns a set of paths reports them as changed; other actions are without file events.
    """

    def __init__(self, root: Path, state: Path, max_file_bytes: int = 1_000_000, follow_links: bool = False) -> None:
        self.now_s = 0.0
        self.stop = threading.Event()
        self.actions: list[Callable[[], object]] = []
        self.folder = Folder(
            root,
            STATION,
            ProcessedFiles(state),
            settle_time_s=SETTLE_S,
            max_file_bytes=max_file_bytes,
            follow_links=follow_links,
            now_s=lambda: self.now_s,
            events=self._events,
        )

    def _events(self, root: Path, stop: threading.Event) -> FolderEvents:
        run = self

        class Events(FolderEvents):
            def __exit__(self, *error: object) -> None:
                pass

            def wait(self, seconds: float) -> set[Path]:
                run.now_s += seconds
                if not run.actions:
                    stop.set()
                    return set()
                changed = run.actions.pop(0)()
                return changed if isinstance(changed, set) else set()

        return Events()

    def run_actions(self, *actions: Callable[[], object]) -> list[Frame]:
        """Run these actions one after the other, then stop; return the frames, without confirming them."""
        self.actions = list(actions)
        with closing(self.folder.frames(self.stop)) as frames:
            return list(frames)


def wait_only() -> None:
    """Do nothing but let time pass."""


LONG_ENOUGH = [wait_only] * 4


def part_ids(frames: list[Frame]) -> list[str | None]:
    return [frame.part_id for frame in frames]


def write(path: Path, content: bytes, written_at_s: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (written_at_s, written_at_s))
