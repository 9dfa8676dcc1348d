"""What only the owner may read."""

from pathlib import Path

import pytest

from foundation.private_files import create_private_file, make_private_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_new_folders_and_files_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "spool"
    make_private_folder(folder)
    make_private_folder(folder)
    create_private_file(folder / "andon.db")
    assert [mode(path) for path in (folder.parent, folder, folder / "andon.db")] == [0o700, 0o700, 0o600]


def test_what_exists_keeps_its_permissions_and_its_content(tmp_path: Path) -> None:
    shared, file = tmp_path / "shared", tmp_path / "shared" / "andon.db"
    shared.mkdir()
    shared.chmod(0o770)
    file.write_text("rows")
    file.chmod(0o660)
    make_private_folder(shared)
    create_private_file(file)
    assert (mode(shared), mode(file), file.read_text()) == (0o770, 0o660, "rows")


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(OSError):
        make_private_folder(tmp_path / "home")
