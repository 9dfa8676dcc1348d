"""Good images on disk for a normal set: found, checked by decoding, and without duplicates."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.errors import CommandFailed
from imaging.errors import BadImage
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class GoodImage:
    """One checked image: the file's bytes unchanged, and its name."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class CollectedImages:
    """The images, and the duplicates: each file that was skipped with the one that has the same bytes."""

    images: tuple[GoodImage, ...]
    duplicates: tuple[tuple[Path, Path], ...]


def find_image_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are named, and those of a folder that are images by their suffix, in order of name.

    Names that begin with a dot are left alone in a folder, as the folder source does: macOS writes ``._a.png`` beside
    ``a.png``.

    Raises:
        CommandFailed: A path does not exist, or a folder has no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = _images_in(path)
            if not inside:
                deeper = [str(folder) for folder in find_subfolders([path])]
                instead = f"; name its subfolders instead: {', '.join(deeper)}" if deeper else ""
                raise CommandFailed(f"The folder {path} has no {', '.join(sorted(SUFFIXES))} file{instead}.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise CommandFailed(f"There is no file or folder {path}.")
    return found


def find_subfolders(paths: Sequence[Path]) -> list[Path]:
    """Return the folders with images that lie in the named ones, or are linked there: they are not read."""
    named = {path.resolve() for path in paths}
    return [
        inside for inside in _inside(paths) if inside.is_dir() and inside.resolve() not in named and _images_in(inside)
    ]


def find_dangling_links(paths: Sequence[Path]) -> list[Path]:
    """Return the links in the named folders that lead nowhere: what they stand for is not read."""
    return [inside for inside in _inside(paths) if inside.is_symlink() and not inside.exists()]


def collect_images(
    files: Sequence[Path],
    *,
    limit: int | None,
    max_bytes: int,
    check: Callable[[bytes], object],
    progress: Callable[[int], None],
) -> CollectedImages:
    """Read and check files until there are `limit` different ones, or all of them without a limit.

    Args:
        files: The files, in the order in which they are taken.
        limit: The most images to take.
        max_bytes: The largest file that is accepted.
        check: Decodes an image, and raises `BadImage` for one that can't be scored.
        progress: Called with the number of images so far.

    Raises:
        CommandFailed: A file is no good image, or the number of different images is outside 2 to 64.
    """
    first_by_content: dict[bytes, Path] = {}
    images: list[GoodImage] = []
    duplicates: list[tuple[Path, Path]] = []
    for file in files:
        if len(images) == limit:
            break
        if len(images) == MAX_IMAGES:
            raise CommandFailed(
                f"{len(files)} files are more than the {MAX_IMAGES} images that a normal set takes; "
                f"add --limit {MAX_IMAGES}, or name the ones to take."
            )
        data = _read(file, max_bytes)
        content = hashlib.sha256(data).digest()
        if content in first_by_content:
            duplicates.append((file, first_by_content[content]))
            continue
        try:
            check(data)
        except BadImage as error:
            raise CommandFailed(f"{file} can't be a good image: {error}") from None
        first_by_content[content] = file
        images.append(GoodImage(file.name, data))
        progress(len(images))
    if len(images) < MIN_IMAGES:
        raise CommandFailed(
            f"A normal set takes {MIN_IMAGES} to {MAX_IMAGES} different images, and {_count(images)} here."
        )
    return CollectedImages(tuple(images), tuple(duplicates))


def _inside(paths: Sequence[Path]) -> list[Path]:
    """Return what lies in the folders among the paths, without hidden names."""
    folders = [path for path in paths if path.is_dir()]
    return [inside for folder in folders for inside in sorted(folder.iterdir()) if not inside.name.startswith(".")]


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _read(file: Path, max_bytes: int) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(max_bytes + 1)
    except OSError as error:
        raise CommandFailed(f"{file} can't be read: {error.strerror}.") from None
    if len(data) > max_bytes:
        raise CommandFailed(f"{file} has more than {max_bytes} bytes, the limit that scorer.max_image_bytes sets.")
    return data


def _count(images: Sequence[GoodImage]) -> str:
    return "there is only 1" if len(images) == 1 else f"there are {len(images)}"
