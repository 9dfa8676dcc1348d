"""References are computed once, survive restarts, and never come from another set, model or broken file."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from structlog.testing import capture_logs

from scorer.detectors.protocol import References
from scorer.errors import InvalidNormalSet
from scorer.recipes.reference_store import ReferencesKey, ReferenceStore

CPU = "cpu"
KEY = ReferencesKey("model", 7, "abc")


def made(value: float = 1.0, size: int = 10) -> References:
    return References(
        "model", {"patches": torch.full((size,), value), "window": torch.tensor(2)}, (0.1, 0.30000000000000004)
    )


class Computing:
    """Counts how often references had to be computed."""

    def __init__(self, references: References | None = None) -> None:
        self.times = 0
        self._references = references or made()

    def __call__(self) -> References:
        self.times += 1
        return self._references


def opened(folder: Path, max_bytes: int = 1000) -> ReferenceStore:
    return ReferenceStore(folder, max_bytes, CPU)


def test_they_are_computed_once_and_read_back_exactly_by_the_next_process(tmp_path: Path) -> None:
    computing = Computing()
    store = opened(tmp_path)
    assert store.get(KEY, computing) is store.get(KEY, computing)
    back = opened(tmp_path).get(KEY, computing)
    assert computing.times == 1
    assert back.normal_scores == (0.1, 0.30000000000000004)
    assert back.tensors.keys() == {"patches", "window"}
    assert torch.equal(back.tensors["patches"], torch.ones(10))


@pytest.mark.parametrize(
    "other", [ReferencesKey("model", 7, "xyz"), ReferencesKey("model", 8, "abc"), ReferencesKey("model2", 7, "abc")]
)
def test_those_of_another_set_or_model_are_not_taken(tmp_path: Path, other: ReferencesKey) -> None:
    opened(tmp_path).get(KEY, Computing())
    mine = tmp_path / "model" / "7.safetensors"
    theirs = tmp_path / other.model_id / f"{other.normal_set_id}.safetensors"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(mine.read_bytes())
    computing = Computing()
    with capture_logs() as logs:
        opened(tmp_path).get(other, computing)
    assert computing.times == 1
    assert [entry["log_level"] for entry in logs] == ["warning"]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def one_bit_changed(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("spoil", [cut, one_bit_changed, lambda _: b"", lambda _: b"\xff" * 100])
def test_a_spoilt_file_is_computed_anew_with_a_warning_and_mended(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    opened(tmp_path).get(KEY, Computing())
    path = tmp_path / "model" / "7.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    computing = Computing()
    with capture_logs() as logs:
        opened(tmp_path).get(KEY, computing)
        opened(tmp_path).get(KEY, computing)
    assert computing.times == 1
    assert [entry["event"] for entry in logs] == ["references can't be used and are computed again"]


def test_a_foreign_safetensors_file_is_computed_anew(tmp_path: Path) -> None:
    path = tmp_path / "model" / "7.safetensors"
    path.parent.mkdir()
    save_file({"patches": torch.ones(3)}, path)
    computing = Computing()
    opened(tmp_path).get(KEY, computing)
    assert computing.times == 1


def test_memory_lets_the_least_recently_used_go_but_never_those_in_use(tmp_path: Path) -> None:
    store = opened(tmp_path, max_bytes=100)  # each holds 10 × 4 + 8 = 48 bytes
    first, second, third = (ReferencesKey("model", number, "abc") for number in range(3))
    for key in (first, second, first, third):
        store.get(key, Computing())
    assert store.cached_bytes == 96
    (tmp_path / "model" / "0.safetensors").unlink()
    (tmp_path / "model" / "1.safetensors").unlink()
    still_held, gone = Computing(), Computing()
    store.get(first, still_held)
    store.get(second, gone)
    assert (still_held.times, gone.times) == (0, 1)
    store.get(ReferencesKey("model", 9, "abc"), Computing(made(size=1000)))
    assert store.cached_bytes == 4008


def test_a_full_disk_costs_only_the_keeping(tiny_disk: Path) -> None:
    store = ReferenceStore(tiny_disk, 10_000_000, CPU)
    with capture_logs() as logs:
        got = store.get(KEY, Computing(made(size=1_000_000)))
    assert got.tensors["patches"].shape == (1_000_000,)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert list((tiny_disk / "model").iterdir()) == []


def test_what_computing_raises_passes_through(tmp_path: Path) -> None:
    def refuse() -> References:
        raise InvalidNormalSet("one image only")

    with pytest.raises(InvalidNormalSet):
        opened(tmp_path).get(KEY, refuse)
