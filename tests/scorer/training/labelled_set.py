"""A labelled set of parts in MVTec AD layout, to be trained on."""

from pathlib import Path

from testing.line import encoded, part


def write_labelled_set(path: Path, normals: int = 3, test: int = 2, defects: int = 2) -> Path:
    kinds = ("train/good", normals, False), ("test/good", test, False), ("test/blot", defects, True)
    for index, (kind, count, defect) in enumerate(kinds):
        (path / kind).mkdir(parents=True)
        for number in range(count):
            (path / kind / f"{number}.png").write_bytes(encoded(part(100 * index + number, defect)))
    return path
