"""References are computed once, survive restarts, and never come from another set, model or broken file."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from structlog.testing import capture_logs

from imaging.quality.picture_quality import PictureLimits
from scorer.detectors.protocol import References
from scorer.errors import InvalidNormalSet
from scorer.recipes.reference_store import PreparedNormals, ReferencesKey, ReferenceStore

PATIENCE_S = 60
CPU = "cpu"
KEY = ReferencesKey("model", 7, "abc")


LIMITS = PictureLimits(10.5, 0.1 + 0.2, 250.0, 5.0, 0.25, 0.5, 0.75, 0.5)


def make_references(value: float = 1.0, size: int = 10) -> PreparedNormals:
    tensors = {"patches": torch.full((size,), value), "window": torch.tensor(2)}
    return PreparedNormals(References("model", tensors, (0.1, 0.30000000000000004)), LIMITS)


class CountingCompute:
    """Counts how often references had to be computed."""

    def __init__(self, references: PreparedNormals | None = None) -> None:
        self.calls = 0
        self._references = references or make_references()

    def __call__(self) -> PreparedNormals:
        self.calls += 1
        return self._references


def open_store(folder: Path, max_bytes: int = 1000) -> ReferenceStore:
    return ReferenceStore(folder, max_bytes, CPU)


def test_references_are_computed_once_and_read_back_exactly(tmp_path: Path) -> None:
    compute = CountingCompute()
    store = open_store(tmp_path)
    assert store.get(KEY, compute) is store.get(KEY, compute)
    reread = open_store(tmp_path).get(KEY, compute)
    assert compute.calls == 1
    assert reread.references.normal_scores == (0.1, 0.30000000000000004)
    assert reread.references.tensors.keys() == {"patches", "window"}
    assert torch.equal(reread.references.tensors["patches"], torch.ones(10))
    assert reread.picture_limits == LIMITS


@pytest.mark.parametrize(
    "other", [ReferencesKey("model", 7, "xyz"), ReferencesKey("model", 8, "abc"), ReferencesKey("model2", 7, "abc")]
)
def test_references_of_another_set_or_model_are_not_used(tmp_path: Path, other: ReferencesKey) -> None:
    open_store(tmp_path).get(KEY, CountingCompute())
    path = tmp_path / "model" / "7.safetensors"
    other_path = tmp_path / other.model_id / f"{other.normal_set_id}.safetensors"
    other_path.parent.mkdir(exist_ok=True)
    other_path.write_bytes(path.read_bytes())
    compute = CountingCompute()
    with capture_logs() as logs:
        open_store(tmp_path).get(other, compute)
    assert compute.calls == 1
    assert [entry["log_level"] for entry in logs] == ["warning"]


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip_one_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def change_a_limit(data: bytes) -> bytes:
    return data.replace(b"10.5", b"20.5", 1)


@pytest.mark.parametrize("corrupt", [truncate, flip_one_bit, change_a_limit, lambda _: b"", lambda _: b"\xff" * 100])
def test_a_corrupt_file_is_recomputed_with_a_warning(tmp_path: Path, corrupt: Callable[[bytes], bytes]) -> None:
    open_store(tmp_path).get(KEY, CountingCompute())
    path = tmp_path / "model" / "7.safetensors"
    path.write_bytes(corrupt(path.read_bytes()))
    compute = CountingCompute()
    with capture_logs() as logs:
        open_store(tmp_path).get(KEY, compute)
        open_store(tmp_path).get(KEY, compute)
    assert compute.calls == 1
    assert [entry["event"] for entry in logs] == ["references can't be used and are computed again"]


def test_another_safetensors_file_is_recomputed(tmp_path: Path) -> None:
    path = tmp_path / "model" / "7.safetensors"
    path.parent.mkdir()
    save_file({"patches": torch.ones(3)}, path)
    compute = CountingCompute()
    open_store(tmp_path).get(KEY, compute)
    assert compute.calls == 1


def test_the_least_recently_used_references_are_evicted_from_memory(tmp_path: Path) -> None:
    store = open_store(tmp_path, max_bytes=100)  # each holds 10 × 4 + 8 = 48 bytes
    first, second, third = (ReferencesKey("model", number, "abc") for number in range(3))
    for key in (first, second, first, third):
        store.get(key, CountingCompute())
    assert store.cached_bytes == 96
    (tmp_path / "model" / "0.safetensors").unlink()
    (tmp_path / "model" / "1.safetensors").unlink()
    cached, gone = CountingCompute(), CountingCompute()
    store.get(first, cached)
    store.get(second, gone)
    assert (cached.calls, gone.calls) == (0, 1)
    store.get(ReferencesKey("model", 9, "abc"), CountingCompute(make_references(size=1000)))
    assert store.cached_bytes == 4008


def test_a_full_disk_is_logged_and_references_are_still_returned(tiny_disk: Path) -> None:
    store = ReferenceStore(tiny_disk, 10_000_000, CPU)
    with capture_logs() as logs:
        references = store.get(KEY, CountingCompute(make_references(size=1_000_000)))
    assert references.references.tensors["patches"].shape == (1_000_000,)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert list((tiny_disk / "model").iterdir()) == []


def test_an_error_of_the_computation_is_raised(tmp_path: Path) -> None:
    def refuse() -> PreparedNormals:
        raise InvalidNormalSet("one image only")

    with pytest.raises(InvalidNormalSet):
        open_store(tmp_path).get(KEY, refuse)


def test_references_can_be_had_while_others_are_computed(tmp_path: Path) -> None:
    store, started, may_end = open_store(tmp_path), threading.Event(), threading.Event()
    slow = ReferencesKey("model", 8, "abc")

    def compute_slowly() -> PreparedNormals:
        started.set()
        assert may_end.wait(PATIENCE_S)
        return CountingCompute()()

    thread = threading.Thread(target=store.get, args=(slow, compute_slowly))
    thread.start()
    assert started.wait(PATIENCE_S)
    other = CountingCompute()
    store.get(KEY, other)
    assert other.calls == 1
    may_end.set()
    thread.join()
    again = CountingCompute()
    store.get(slow, again)
    assert again.calls == 0


def test_two_threads_that_need_the_same_references_compute_them_once(tmp_path: Path) -> None:
    store, compute = open_store(tmp_path), CountingCompute()
    threads = [threading.Thread(target=store.get, args=(KEY, compute)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.calls == 1
