"""Links in a folder are read as what they lead to, each folder once, or named once in the log."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from testing.images import png
from tests.ingest.sources.folder_run import LONG_ENOUGH, FolderRun, part_ids, wait_only, write

Start = Callable[..., FolderRun]


def read_with_warnings(run: FolderRun, *actions: Callable[[], object]) -> tuple[list[str | None], list[str]]:
    """Return the part ids in order of name, and what the warnings name."""
    with capture_logs() as logs:
        ids = part_ids(run.run_actions(*actions, *LONG_ENOUGH))
    return sorted(ids, key=str), [Path(entry["path"]).name for entry in logs if entry["log_level"] == "warning"]


def test_a_linked_subfolder_and_a_linked_file_are_read(root: Path, tmp_path: Path, start_run: Start) -> None:
    write(tmp_path / "disk" / "2026" / "a.png", png(1), 1_000)
    write(tmp_path / "disk" / ".partial" / "b.png", png(2), 1_000)
    write(tmp_path / "snapshot", png(3), 1_000)
    (root / "day").symlink_to(tmp_path / "disk")
    (root / "now.png").symlink_to(tmp_path / "snapshot")

    assert read_with_warnings(start_run(follow_links=True)) == (["day/2026/a.png", "now.png"], [])


def test_a_linked_root_is_read(root: Path, tmp_path: Path) -> None:
    write(root / "sub" / "a.png", png(1), 1_000)
    (tmp_path / "link").symlink_to(root)
    run = FolderRun(tmp_path / "link", tmp_path / "state.sqlite")

    assert read_with_warnings(run) == (["sub/a.png"], [])
    run.folder.close()


@pytest.mark.parametrize("target", [".", "..", "/", "sub", "sub/.."])
def test_links_in_a_circle_are_named_once_and_each_file_is_read_once(root: Path, start_run: Start, target: str) -> None:
    write(root / "sub" / "a.png", png(1), 1_000)
    (root / "again").symlink_to(root / target)

    assert read_with_warnings(start_run(follow_links=True), *[wait_only] * 8) == (["sub/a.png"], ["again"])


def test_a_circle_of_several_linked_folders_ends(root: Path, tmp_path: Path, start_run: Start) -> None:
    for name, other in (("x", "y"), ("y", "x")):
        write(tmp_path / name / f"{name}.png", png(ord(name)), 1_000)
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    (root / "x").symlink_to(tmp_path / "x")

    assert read_with_warnings(start_run(follow_links=True)) == (["x/other/y.png", "x/x.png"], ["other"])


def test_two_links_to_one_folder_yield_its_files_once(root: Path, tmp_path: Path, start_run: Start) -> None:
    write(tmp_path / "disk" / "a.png", png(1), 1_000)
    for name in ("second", "first"):
        (root / name).symlink_to(tmp_path / "disk")

    assert read_with_warnings(start_run(follow_links=True)) == (["first/a.png"], ["second"])


@pytest.mark.parametrize(("name", "target"), [("a.png", "gone"), ("day", "gone"), ("a.png", "a.png")])
def test_a_link_that_leads_nowhere_is_named_once_and_read_when_its_target_exists(
    root: Path, tmp_path: Path, start_run: Start, name: str, target: str
) -> None:
    (root / name).symlink_to(tmp_path / "gone" if target == "gone" else root / target)

    def mend() -> None:
        (root / name).unlink()
        write(tmp_path / "disk" / "a.png", png(1), 1_000)
        (root / name).symlink_to(tmp_path / "disk" / ("a.png" if name == "a.png" else ""))

    read = read_with_warnings(start_run(follow_links=True), wait_only, wait_only, mend, *LONG_ENOUGH)

    assert read == ([name if name == "a.png" else "day/a.png"], [name])


def test_an_event_under_a_link_that_is_not_read_yields_nothing_twice(root: Path, start_run: Start) -> None:
    (root / "again").symlink_to(root)
    run = start_run(follow_links=True)

    def write_one() -> set[Path]:
        run.now_s = 0.1  # it would settle before the next rescan
        write(root / "a.png", png(1), 1_000)
        return {root / "again" / "a.png", root / "again"}

    assert read_with_warnings(run, write_one)[0] == ["a.png"]


def test_an_event_under_a_linked_subfolder_is_read_without_a_rescan(
    root: Path, tmp_path: Path, start_run: Start
) -> None:
    (tmp_path / "disk").mkdir()
    (root / "day").symlink_to(tmp_path / "disk")
    run = start_run(follow_links=True)

    def write_one() -> set[Path]:
        run.now_s = 0.1  # long before the next rescan
        write(root / "day" / "new" / "a.png", png(1), 1_000)
        return {root / "day" / "new"}

    assert part_ids(run.run_actions(write_one, wait_only)) == ["day/new/a.png"]


def test_a_link_that_is_made_later_is_read(root: Path, tmp_path: Path, start_run: Start) -> None:
    write(tmp_path / "disk" / "a.png", png(1), 1_000)

    def link() -> set[Path]:
        os.symlink(tmp_path / "disk", root / "day")
        return {root / "day"}

    assert read_with_warnings(start_run(follow_links=True), wait_only, link) == (["day/a.png"], [])


def test_links_out_of_the_folder_are_not_read_and_named_once(root: Path, tmp_path: Path, start_run: Start) -> None:
    write(tmp_path / "secret" / "a.png", png(1), 1_000)
    write(root / "sub" / "b.png", png(2), 1_000)
    (root / "day").symlink_to(tmp_path / "secret")
    (root / "sub" / "c.png").symlink_to(tmp_path / "secret" / "a.png")
    (root / "d.png").symlink_to(root / "sub" / "b.png")  # and those that stay inside are

    read = read_with_warnings(start_run(), *[wait_only] * 4)

    assert (read[0], sorted(read[1])) == (["d.png", "sub/b.png"], ["c.png", "day"])


def test_a_file_that_becomes_a_link_while_it_settles_is_not_read(root: Path, tmp_path: Path, start_run: Start) -> None:
    write(tmp_path / "secret.png", png(1), 1_000)
    write(root / "a.png", png(2), 1_000)

    def replace_by_link() -> None:
        (root / "a.png").unlink()
        (root / "a.png").symlink_to(tmp_path / "secret.png")

    assert read_with_warnings(start_run(), replace_by_link, *LONG_ENOUGH)[0] == []
