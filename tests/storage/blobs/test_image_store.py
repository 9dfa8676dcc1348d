import errno
import hashlib
import os
import shutil
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from storage.blobs.image_store import ImageStore
from storage.errors import NotFound, StorageError, StorageUnavailable
from tests.storage.examples import is_one_sentence

IMAGE_BYTES = b"\x89PNG and so on"
REFERENCE = f"sha256:{hashlib.sha256(IMAGE_BYTES).hexdigest()}"
UNKNOWN = f"sha256:{'0' * 64}"


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    return ImageStore(
        {
            "folder": str(tmp_path / "images"),
            "file": f"file://{tmp_path}/images/",
            "memory": f"memory://{uuid4()}/images",
        }[request.param]
    )


def test_bytes_are_read_back_by_their_hash(store: ImageStore) -> None:
    assert REFERENCE not in store
    assert store.put(IMAGE_BYTES) == store.put(IMAGE_BYTES) == REFERENCE
    assert REFERENCE in store
    assert store.get(REFERENCE) == IMAGE_BYTES
    assert store.get(store.put(b"")) == b""


def test_an_unknown_image_is_not_found(store: ImageStore) -> None:
    store.put(IMAGE_BYTES)
    with pytest.raises(NotFound) as caught:
        store.get(UNKNOWN)
    assert is_one_sentence(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "sha256:",
        "sha256:../../../../etc/passwd",
        f"sha256:{'A' * 64}",
        f"sha256:{'0' * 63}",
        f"sha256:{'0' * 64}\n",
        f"sha256:{'0' * 64}/..",
        f"md5:{'0' * 64}",
        f"sha256:{'٠' * 64}",
        "/etc/passwd",
    ],
)
def test_an_ill_formed_reference_never_becomes_a_path(store: ImageStore, reference: str) -> None:
    assert reference not in store
    with pytest.raises(NotFound):
        store.get(reference)


def test_images_are_stored_in_256_folders_without_temporary_files(tmp_path: Path) -> None:
    ImageStore(str(tmp_path)).put(IMAGE_BYTES)
    digest = REFERENCE.removeprefix("sha256:")
    files = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [f"{digest[:2]}/{digest}"]


def test_a_link_out_of_the_store_is_not_followed(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"))
    store.put(IMAGE_BYTES)
    outside = tmp_path / "outside"
    outside.write_bytes(IMAGE_BYTES)
    stored_file = next(path for path in (tmp_path / "images").rglob("*") if path.is_file())
    stored_file.unlink()
    stored_file.symlink_to(outside)
    with pytest.raises(NotFound):
        store.get(REFERENCE)


def test_a_damaged_image_is_reported(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    store.put(IMAGE_BYTES)
    stored_file = next(path for path in tmp_path.rglob("*") if path.is_file())
    stored_file.write_bytes(IMAGE_BYTES[:-1])
    with pytest.raises(NotFound) as caught:
        store.get(REFERENCE)
    assert is_one_sentence(caught.value)


def test_a_truncated_image_is_written_again(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    store.put(IMAGE_BYTES)
    stored_file = next(path for path in tmp_path.rglob("*") if path.is_file())
    stored_file.write_bytes(IMAGE_BYTES[:1])
    assert store.put(IMAGE_BYTES) == REFERENCE
    assert store.get(REFERENCE) == IMAGE_BYTES


def test_a_missing_store_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"))
    store.put(IMAGE_BYTES)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(StorageUnavailable) as caught:
        store.get(REFERENCE)
    assert is_one_sentence(caught.value)


def test_a_full_disk_is_reported_and_leaves_no_partial_file(tiny_disk: Path) -> None:
    store = ImageStore(str(tiny_disk / "images"))
    first = store.put(os.urandom(100_000))
    too_large = os.urandom(4_000_000)
    with pytest.raises(StorageUnavailable, match="no disk space left") as caught:
        store.put(too_large)
    assert is_one_sentence(caught.value)
    assert [path.name for path in tiny_disk.rglob("*") if path.is_file()] == [first.removeprefix("sha256:")]
    assert f"sha256:{hashlib.sha256(too_large).hexdigest()}" not in store


def test_an_image_whose_sync_failed_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    store = ImageStore(str(tmp_path))
    with pytest.raises(StorageUnavailable):
        store.put(IMAGE_BYTES)
    assert REFERENCE not in store


def test_a_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("")
    with pytest.raises(StorageUnavailable):
        ImageStore(str(tmp_path / "images")).put(IMAGE_BYTES)


def test_many_threads_may_put_the_same_image(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    barrier = threading.Barrier(8)
    found: list[str] = []

    def put() -> None:
        barrier.wait(30)
        found.append(store.put(IMAGE_BYTES))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [REFERENCE] * 8
    assert store.get(REFERENCE) == IMAGE_BYTES


@pytest.mark.parametrize("url", ["", "nonsense://bucket/andon"])
def test_an_unusable_url_is_reported(url: str) -> None:
    with pytest.raises(StorageError):
        ImageStore(url)


def test_no_error_of_a_store_shows_its_password() -> None:
    store = ImageStore("memory://andon:hunter2@host/images")
    assert "hunter2" not in store.name
    with pytest.raises(NotFound) as caught:
        store.get(UNKNOWN)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(StorageError) as refused:
        ImageStore("nosuch://andon:hunter2@host/images")
    assert "hunter2" not in str(refused.value)


def test_stored_images_are_their_owners_alone(tmp_path: Path) -> None:
    ImageStore(str(tmp_path / "images")).put(IMAGE_BYTES)
    made = [tmp_path / "images", *(tmp_path / "images").rglob("*")]
    assert len(made) == 3
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
