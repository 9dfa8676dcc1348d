"""Every file below a folder: in real subfolders and in linked ones, each once, so that links in a circle end."""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import structlog

log = structlog.get_logger()


class Subfolders:
    """Lists the files in `root` and its subfolders; hidden subfolders are left alone.

    A link to a folder is read as a subfolder of the link's name. It is not read, and named once in the log, where it
    leads to a folder that holds it or to one that is read already: its files would come twice, or for ever. Links that
    lead nowhere or out of the root and subfolders that can't be listed are named once too, and tried again each time.
    """

    def __init__(self, root: Path, *, follow_links: bool = False) -> None:
        """List nothing yet; with `follow_links`, links that lead out of the root are read as well."""
        self._root = root
        self._follow_links = follow_links
        self._read_links: set[Path] = set()
        self._reported: set[Path] = set()

    def files(self) -> Iterator[Path]:
        """Yield every file, those of linked subfolders after all others; what is no folder counts as a file."""
        self._read_links = set()
        visited: set[Path] = set()
        waiting = deque([self._root])
        while waiting:
            folder = waiting.popleft()
            if folder != self._root:
                if not self._may_follow(folder, visited):
                    continue
                self._read_links.add(folder)
            links: list[Path] = []
            yield from self._files_below(folder, visited, links)
            waiting.extend(sorted(links))

    def files_below(self, folder: Path) -> Iterator[Path]:
        """Yield the files of one subfolder, without those of linked folders in it, which the next `files` yields."""
        yield from self._files_below(folder, set(), [])

    def holds(self, path: Path) -> bool:
        """Return whether the last `files` entered every linked folder on the way from the root to this path."""
        parts = path.relative_to(self._root).parts
        steps = [self._root.joinpath(*parts[: count + 1]) for count in range(len(parts))]
        return all(step in self._read_links or not (step.is_symlink() and step.is_dir()) for step in steps)

    def report_dangling(self, path: Path) -> None:
        """Name a link that leads nowhere; do nothing for anything else."""
        if path.is_symlink() and not path.exists():
            self._report(path, "a link leads nowhere; it is read once its target exists")

    def leads_out(self, path: Path) -> bool:
        """Return whether a path is a link out of the root that is not to be followed, and name it."""
        if self._follow_links or not path.is_symlink():
            return False
        try:
            leads_out = not path.resolve(strict=True).is_relative_to(self._root.resolve())
        except (OSError, RuntimeError):  # gone, or links in a circle: there is nothing to read
            return False
        if leads_out:
            self._report(
                path, "a link is not read: it leads out of the folder; the setting ingest.follow_links allows it"
            )
        return leads_out

    def _files_below(self, top: Path, visited: set[Path], links: list[Path]) -> Iterator[Path]:
        """Yield files; add the real paths of the folders to `visited`, and linked folders to `links`."""
        real_top = top.resolve()
        for parent, folders, names in os.walk(top, onerror=self._report_unreadable):
            real_parent = real_top / Path(parent).relative_to(top)
            visited.add(real_parent)
            entered = []
            for name in folders:
                if name.startswith("."):
                    continue
                if (folder := Path(parent, name)).is_symlink():
                    links.append(folder)
                elif real_parent / name not in visited:
                    entered.append(name)
            folders[:] = entered
            yield from (Path(parent, name) for name in names)

    def _may_follow(self, link: Path, visited: set[Path]) -> bool:
        try:
            target = link.resolve(strict=True)
            holders = self._root.resolve(), link.parent.resolve()
        except (OSError, RuntimeError):  # gone since it was listed; RuntimeError: links in a circle
            self.report_dangling(link)
            return False
        if any(holder.is_relative_to(target) for holder in holders):
            self._report(link, "a linked subfolder is not read: it leads back to a folder that holds it")
            return False
        if self.leads_out(link):
            return False
        if target in visited:
            self._report(link, "a linked subfolder is not read: its folder is read under another name")
            return False
        return True

    def _report_unreadable(self, error: OSError) -> None:
        if Path(error.filename) == self._root:  # gone since it was listed: whoever lists it says so
            return
        self._report(Path(error.filename), "a subfolder can't be read; trying again", error=error.strerror)

    def _report(self, path: Path, event: str, **details: str | None) -> None:
        if path not in self._reported:
            self._reported.add(path)
            log.warning(event, path=str(path), **details)
