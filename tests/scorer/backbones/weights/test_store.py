import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scorer.backbones.weights import checkpoints
from scorer.backbones.weights.import_openclip import ImportOptions, import_file
from scorer.backbones.weights.store import WeightsCard, WeightsStore, content_hash, file_sha256
from scorer.detectors.inctrl.heads import UNUSED_TENSORS, InCtrlHeads
from scorer.errors import InvalidWeights, ModelUnavailable
from testing.datasets import shared_path
from tests.scorer.backbones.tiny_clip import CONFIG, PATCHES, tiny_backbone, tiny_heads

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ImportOptions(model="tiny", tag="ours", config=CONFIG)


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "weights")


def tower_tensors() -> dict[str, torch.Tensor]:
    return dict(tiny_backbone().network.state_dict())


def official_tensors(width: int = 16, patches: int = PATCHES) -> dict[str, torch.Tensor]:
    """An official InCTRL state dict: towers without temperature, heads, and the normalisation its code never reads."""
    clip = {name: tensor for name, tensor in tower_tensors().items() if name != "logit_scale"}
    return {**clip, **tiny_heads(width, patches).state_dict(), **{name: torch.ones(3) for name in UNUSED_TENSORS}}


def save_checkpoint(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_an_openclip_checkpoint_is_stored_with_its_configuration_and_sha256(
    store: WeightsStore, tmp_path: Path
) -> None:
    file = save_checkpoint(
        tmp_path / "epoch_32.pt", {"epoch": 32, "state_dict": {f"module.{n}": t for n, t in tower_tensors().items()}}
    )
    (stored,) = import_file(store, file, TINY)
    assert (stored.card.name, stored.card.kind, stored.card.source) == ("tiny:ours", "openclip", "epoch_32.pt")
    assert stored.card.config == CONFIG
    assert (
        store.path / "tiny.ours.safetensors.sha256"
    ).read_text() == f"{file_sha256(stored.path)}  tiny.ours.safetensors\n"
    assert store.list_all() == [stored]
    before, after = tower_tensors(), store.tensors(store.tower("tiny:ours"))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_an_official_checkpoint_is_split_into_towers_and_heads(store: WeightsStore, tmp_path: Path) -> None:
    backbone, heads = import_file(
        store, save_checkpoint(tmp_path / "four shot.pyth", official_tensors()), ImportOptions("tiny", None, CONFIG)
    )
    assert (backbone.card.name, heads.card.name) == ("tiny:four-shot", "inctrl:four-shot")
    assert heads.card.backbone == "tiny:four-shot"
    assert store.heads().sha256 == heads.sha256
    assert store.tensors(heads).keys() == tiny_heads().state_dict().keys()


@pytest.mark.data
def test_the_heads_of_an_official_checkpoint_take_1_3_megabytes(store: WeightsStore) -> None:
    golden = shared_path("golden/inctrl_official")
    config = json.loads((golden / "model_config.json").read_text())
    _, heads = import_file(store, golden / "checkpoint.pyth", ImportOptions("narrow", "golden", config))
    assert 1.3e6 < heads.size_bytes < 1.4e6


def test_equal_towers_are_stored_once(store: WeightsStore, tmp_path: Path) -> None:
    import_file(store, save_checkpoint(tmp_path / "fetched.pt", tower_tensors()), TINY)
    backbone, heads = import_file(
        store, save_checkpoint(tmp_path / "x.pyth", official_tensors()), ImportOptions("tiny", "two-shot", CONFIG)
    )
    assert heads.card.backbone == backbone.card.name == "tiny:ours"
    assert [stored.card.name for stored in store.list_all()] == ["inctrl:two-shot", "tiny:ours"]


def test_a_stored_file_can_be_imported_into_another_store(store: WeightsStore, tmp_path: Path) -> None:
    (stored,) = import_file(store, save_checkpoint(tmp_path / "a.pt", tower_tensors()), TINY)
    elsewhere = WeightsStore(tmp_path / "elsewhere")
    assert import_file(elsewhere, stored.path, ImportOptions())[0].sha256 == stored.sha256


@pytest.mark.parametrize("missing", ["visual.proj", "diff_head.bn2.running_var", "adapter.fc.0.weight"])
def test_a_missing_tensor_is_named_and_nothing_is_stored(store: WeightsStore, tmp_path: Path, missing: str) -> None:
    tensors = official_tensors()
    del tensors[missing]
    with pytest.raises(InvalidWeights, match=rf"x\.pyth.*{missing}"):
        import_file(store, save_checkpoint(tmp_path / "x.pyth", tensors), TINY)
    assert not store.path.exists()


def test_a_surplus_tensor_is_named(store: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"visual\.lora"):
        import_file(
            store, save_checkpoint(tmp_path / "x.pyth", {**official_tensors(), "visual.lora": torch.ones(1)}), TINY
        )


def test_a_checkpoint_of_another_width_is_refused_with_both_widths(store: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"adapter\.fc\.0\.weight.*5×20.*4×16"):
        import_file(store, save_checkpoint(tmp_path / "x.pyth", official_tensors(width=20)), TINY)
    with pytest.raises(InvalidWeights, match=r"diff_head\.projection1\.weight.*128×9.*128×12"):
        import_file(store, save_checkpoint(tmp_path / "x.pyth", official_tensors(patches=9)), TINY)
    with pytest.raises(InvalidWeights, match="ViT-B-16-plus-240"):
        import_file(store, save_checkpoint(tmp_path / "x.pt", tower_tensors()), ImportOptions(tag="x"))


class TouchOnUnpickle:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_code_is_refused_and_not_executed(store: WeightsStore, tmp_path: Path, protocol: int) -> None:
    file, trace = tmp_path / "x.pyth", tmp_path / "trace"
    file.write_bytes(pickle.dumps({"visual.proj": TouchOnUnpickle(trace)}, protocol=protocol))
    with pytest.raises(InvalidWeights, match=str(file)):
        import_file(store, file, TINY)
    assert not trace.exists()


def test_the_code_in_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"posix\.system"):
        checkpoints.read_checkpoint(save_checkpoint(tmp_path / "x.pt", {"a": TouchOnUnpickle(tmp_path / "trace")}))
    with pytest.raises(InvalidWeights, match=r"torch\.nn\.modules\.linear\.Linear"):
        checkpoints.read_checkpoint(save_checkpoint(tmp_path / "whole_module.pt", torch.nn.Linear(1, 1)))


@pytest.mark.parametrize("fraction", [0, 0.001, 0.3, 0.999])
@pytest.mark.parametrize("extension", [".pt", ".safetensors"])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, fraction: float, extension: str) -> None:
    file = tmp_path / f"x{extension}"
    if extension == ".pt":
        save_checkpoint(file, {"a": torch.zeros(5000)})
    else:
        save_file({"a": torch.zeros(5000)}, file)
    file.write_bytes(file.read_bytes()[: int(fraction * file.stat().st_size)])
    with pytest.raises(InvalidWeights, match=str(file)):
        checkpoints.read_checkpoint(file)


@pytest.mark.parametrize("text", [b"hello, I am no checkpoint at all " * 9, b"\x80\x02", b"PK\x03\x04" + bytes(300)])
def test_a_file_of_another_format_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "x.pt"
    file.write_bytes(text)
    with pytest.raises(InvalidWeights, match=str(file)):
        checkpoints.read_checkpoint(file)


@pytest.mark.parametrize(
    ("content", "named"), [([1, 2], "holds list"), ({"lr": 0.1}, "what is no tensor: lr"), ({}, "not named")]
)
def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path, content: object, named: str) -> None:
    with pytest.raises(InvalidWeights, match=named):
        checkpoints.read_checkpoint(save_checkpoint(tmp_path / "x.pt", content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"nowhere\.pt"):
        checkpoints.read_checkpoint(tmp_path / "nowhere.pt")


def test_a_modified_stored_file_is_refused(store: WeightsStore, tmp_path: Path) -> None:
    (stored,) = import_file(store, save_checkpoint(tmp_path / "a.pt", tower_tensors()), TINY)
    content = bytearray(stored.path.read_bytes())
    content[-1] ^= 1
    stored.path.write_bytes(content)
    with pytest.raises(InvalidWeights, match="tiny:ours"):
        store.tensors(store.tower("tiny:ours"))
    stored.path.write_bytes(content[:-20])
    with pytest.raises(InvalidWeights):
        store.list_all()


def test_missing_weights_name_the_fetch_command(store: WeightsStore) -> None:
    with pytest.raises(ModelUnavailable, match="andon weights fetch ViT-B-16-plus-240:laion400m_e32"):
        store.tower("ViT-B-16-plus-240:laion400m_e32")
    with pytest.raises(ModelUnavailable, match="andon weights import FILE"):
        store.heads()


def test_heads_must_be_named_where_there_are_several(store: WeightsStore) -> None:
    for tag in ("two-shot", "four-shot"):
        store.put(_heads_card(tag), InCtrlHeads(16, PATCHES).state_dict())
    assert store.heads("two-shot").card.tag == "two-shot"
    with pytest.raises(ModelUnavailable, match="inctrl:four-shot, inctrl:two-shot"):
        store.heads()
    with pytest.raises(ModelUnavailable, match=r"eight-shot.*inctrl:four-shot"):
        store.heads("eight-shot")


def test_a_tag_cannot_be_a_path(store: WeightsStore) -> None:
    with pytest.raises(InvalidWeights, match="x"):
        store.put(_heads_card("../../x"), {"a": torch.zeros(1)})


def test_the_content_hash_ignores_order_precision_and_temperature() -> None:
    tensors = {"a": torch.tensor([0.5, 2.0]), "b": torch.tensor([1])}
    other = {"b": torch.tensor([1]), "a": torch.tensor([0.5, 2.0]).half(), "logit_scale": torch.tensor(4.6)}
    assert content_hash(tensors) == content_hash(other)
    assert content_hash(tensors) != content_hash({**tensors, "a": torch.tensor([0.5, 2.5])})


def test_other_safetensors_files_are_ignored(store: WeightsStore) -> None:
    store.path.mkdir()
    save_file({"a": torch.zeros(1)}, store.path / "mine.safetensors")
    assert store.list_all() == []
    assert load_file(store.path / "mine.safetensors")["a"] == 0


def _heads_card(tag: str) -> WeightsCard:
    return WeightsCard("inctrl-heads", "inctrl", tag, source="here", contents=tag, backbone="tiny:ours")


def test_two_backbones_can_have_weights_of_the_same_tag(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    for kind in ("coop-prompts", "inctrl-visual-heads"):
        for backbone, value in (("here", 1.0), ("resnet18 layer3", 2.0), ("here", 3.0), ("resnet18 layer3", 4.0)):
            card = WeightsCard(kind, kind, "mine", "a test", str(value), backbone=backbone)
            store.put(card, {"w": torch.full((1,), value)})
    found = {(one.card.kind, one.card.backbone): float(store.tensors(one)["w"]) for one in store.list_all()}
    assert found == {
        (kind, backbone): value
        for kind in ("coop-prompts", "inctrl-visual-heads")
        for backbone, value in (("here", 3.0), ("resnet18 layer3", 4.0))
    }
    usual = tmp_path / "coop-prompts.mine.safetensors"
    usual.write_bytes(usual.read_bytes()[:-3])
    card = WeightsCard("coop-prompts", "coop-prompts", "mine", "a test", "5", backbone="here")
    assert store.put(card, {"w": torch.full((1,), 5.0)}).path == usual
