"""Folders and files that only their owner may read: databases, spools, keys."""

import os
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents, each for its owner alone; one that exists keeps its permissions.

    Raises:
        OSError: A folder can't be created.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    folder.mkdir(exist_ok=True)  # raises where a file has this name


def create_private_file(path: Path) -> None:
    """Create an empty file for its owner alone, and leave one that exists as it is.

    SQLite gives the files that it puts beside a database the permissions of the database.

    Raises:
        OSError: The file can't be created.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))
    except FileExistsError:
        return
