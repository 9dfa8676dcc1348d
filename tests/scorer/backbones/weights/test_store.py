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
def folder(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "weights")


def towers() -> dict[str, torch.Tensor]:
    return dict(tiny_backbone().network.state_dict())


def official(width: int = 16, patches: int = PATCHES) -> dict[str, torch.Tensor]:
    """An official InCTRL state dict: towers without temperature, heads, and the normalisation its code never reads."""
    clip = {name: tensor for name, tensor in towers().items() if name != "logit_scale"}
    return {**clip, **tiny_heads(width, patches).state_dict(), **{name: torch.ones(3) for name in UNUSED_TENSORS}}


def saved(path: Path, what: object) -> Path:
    torch.save(what, path)
    return path


def test_an_openclip_checkpoint_is_kept_with_its_configuration_and_sha256_beside_it(
    folder: WeightsStore, tmp_path: Path
) -> None:
    file = saved(tmp_path / "epoch_32.pt", {"epoch": 32, "state_dict": {f"module.{n}": t for n, t in towers().items()}})
    (stored,) = import_file(folder, file, TINY)
    assert (stored.card.name, stored.card.kind, stored.card.source) == ("tiny:ours", "openclip", "epoch_32.pt")
    assert stored.card.config == CONFIG
    assert (
        folder.path / "tiny.ours.safetensors.sha256"
    ).read_text() == f"{file_sha256(stored.path)}  tiny.ours.safetensors\n"
    assert folder.list_all() == [stored]
    before, after = towers(), folder.tensors(folder.tower("tiny:ours"))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_an_official_checkpoint_gives_towers_and_heads_apart(folder: WeightsStore, tmp_path: Path) -> None:
    backbone, heads = import_file(
        folder, saved(tmp_path / "four shot.pyth", official()), ImportOptions("tiny", None, CONFIG)
    )
    assert (backbone.card.name, heads.card.name) == ("tiny:four-shot", "inctrl:four-shot")
    assert heads.card.backbone == "tiny:four-shot"
    assert folder.heads().sha256 == heads.sha256
    assert folder.tensors(heads).keys() == tiny_heads().state_dict().keys()


@pytest.mark.data
def test_the_heads_of_a_full_width_official_checkpoint_take_1_3_megabytes(folder: WeightsStore) -> None:
    golden = shared_path("golden/inctrl_official")
    config = json.loads((golden / "model_config.json").read_text())
    _, heads = import_file(folder, golden / "checkpoint.pyth", ImportOptions("narrow", "golden", config))
    assert 1.3e6 < heads.size_bytes < 1.4e6


def test_towers_that_are_there_already_are_not_kept_twice(folder: WeightsStore, tmp_path: Path) -> None:
    import_file(folder, saved(tmp_path / "fetched.pt", towers()), TINY)
    backbone, heads = import_file(
        folder, saved(tmp_path / "x.pyth", official()), ImportOptions("tiny", "two-shot", CONFIG)
    )
    assert heads.card.backbone == backbone.card.name == "tiny:ours"
    assert [stored.card.name for stored in folder.list_all()] == ["inctrl:two-shot", "tiny:ours"]


def test_a_kept_file_can_be_carried_to_another_folder(folder: WeightsStore, tmp_path: Path) -> None:
    (stored,) = import_file(folder, saved(tmp_path / "a.pt", towers()), TINY)
    elsewhere = WeightsStore(tmp_path / "elsewhere")
    assert import_file(elsewhere, stored.path, ImportOptions())[0].sha256 == stored.sha256


@pytest.mark.parametrize("bad", ["visual.proj", "diff_head.bn2.running_var", "adapter.fc.0.weight"])
def test_a_missing_tensor_is_named_and_nothing_is_kept(folder: WeightsStore, tmp_path: Path, bad: str) -> None:
    tensors = official()
    del tensors[bad]
    with pytest.raises(InvalidWeights, match=rf"x\.pyth as tiny does not fit the model; missing: {bad}\.$"):
        import_file(folder, saved(tmp_path / "x.pyth", tensors), TINY)
    assert not folder.path.exists()


def test_a_surplus_tensor_is_named(folder: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"unexpected: visual\.lora\."):
        import_file(folder, saved(tmp_path / "x.pyth", {**official(), "visual.lora": torch.ones(1)}), TINY)


def test_a_checkpoint_of_another_width_is_told_with_both_widths(folder: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"adapter\.fc\.0\.weight is 5×20 where 4×16 is needed"):
        import_file(folder, saved(tmp_path / "x.pyth", official(width=20)), TINY)
    with pytest.raises(InvalidWeights, match=r"diff_head\.projection1\.weight is 128×9 where 128×12 is needed"):
        import_file(folder, saved(tmp_path / "x.pyth", official(patches=9)), TINY)
    with pytest.raises(
        InvalidWeights, match=r"as ViT-B-16-plus-240 does not fit the model; missing: .*of another shape: "
    ):
        import_file(folder, saved(tmp_path / "x.pt", towers()), ImportOptions(tag="x"))


class Code:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(folder: WeightsStore, tmp_path: Path, protocol: int) -> None:
    file, trace = tmp_path / "x.pyth", tmp_path / "trace"
    file.write_bytes(pickle.dumps({"visual.proj": Code(trace)}, protocol=protocol))
    with pytest.raises(InvalidWeights, match=str(file)):
        import_file(folder, file, TINY)
    assert not trace.exists()


def test_the_code_a_checkpoint_holds_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"holds code \(posix\.system\), not only tensors; nothing of it was run"):
        checkpoints.read_checkpoint(saved(tmp_path / "x.pt", {"a": Code(tmp_path / "trace")}))
    with pytest.raises(InvalidWeights, match=r"holds code \(torch\.nn\.modules\.linear\.Linear\)"):
        checkpoints.read_checkpoint(saved(tmp_path / "whole_module.pt", torch.nn.Linear(1, 1)))


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.999])
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_a_truncated_file_is_told_in_a_sentence(tmp_path: Path, share: float, ending: str) -> None:
    file = tmp_path / f"x{ending}"
    if ending == ".pt":
        saved(file, {"a": torch.zeros(5000)})
    else:
        save_file({"a": torch.zeros(5000)}, file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InvalidWeights, match=rf"{file} .*(fetch or copy|get) it again"):
        checkpoints.read_checkpoint(file)


@pytest.mark.parametrize("text", [b"hello, I am no checkpoint at all " * 9, b"\x80\x02", b"PK\x03\x04" + bytes(300)])
def test_a_file_that_is_something_else_is_told_in_a_sentence(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "x.pt"
    file.write_bytes(text)
    with pytest.raises(InvalidWeights, match="fetch or copy it again"):
        checkpoints.read_checkpoint(file)


@pytest.mark.parametrize(
    ("what", "told"), [([1, 2], "holds list"), ({"lr": 0.1}, "what is no tensor: lr"), ({}, "not named")]
)
def test_a_checkpoint_without_tensors_is_told_in_a_sentence(tmp_path: Path, what: object, told: str) -> None:
    with pytest.raises(InvalidWeights, match=told):
        checkpoints.read_checkpoint(saved(tmp_path / "x.pt", what))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"There is no file .*nowhere\.pt"):
        checkpoints.read_checkpoint(tmp_path / "nowhere.pt")


def test_a_kept_file_that_changed_is_refused(folder: WeightsStore, tmp_path: Path) -> None:
    (stored,) = import_file(folder, saved(tmp_path / "a.pt", towers()), TINY)
    content = bytearray(stored.path.read_bytes())
    content[-1] ^= 1
    stored.path.write_bytes(content)
    with pytest.raises(InvalidWeights, match=r"has sha256 .* fetch or import tiny:ours again"):
        folder.tensors(folder.tower("tiny:ours"))
    stored.path.write_bytes(content[:-20])
    with pytest.raises(InvalidWeights, match="cut short; fetch or import it again"):
        folder.list_all()


def test_weights_that_are_not_there_are_asked_for_with_the_command(folder: WeightsStore) -> None:
    with pytest.raises(ModelUnavailable, match=r"run andon weights fetch ViT-B-16-plus-240:laion400m_e32, or copy"):
        folder.tower("ViT-B-16-plus-240:laion400m_e32")
    with pytest.raises(ModelUnavailable, match=r"no InCTRL heads in .* run andon weights import FILE"):
        folder.heads()


def test_heads_must_be_named_where_there_are_several(folder: WeightsStore) -> None:
    for tag in ("two-shot", "four-shot"):
        folder.put(_heads_card(tag), InCtrlHeads(16, PATCHES).state_dict())
    assert folder.heads("two-shot").card.tag == "two-shot"
    with pytest.raises(ModelUnavailable, match=r"heads inctrl:four-shot, inctrl:two-shot; say which, as in inctrl:"):
        folder.heads()
    with pytest.raises(ModelUnavailable, match=r"no InCTRL heads eight-shot in .* \(there are inctrl:four-shot"):
        folder.heads("eight-shot")


def test_a_tag_is_no_path(folder: WeightsStore) -> None:
    with pytest.raises(InvalidWeights, match="is no tag"):
        folder.put(_heads_card("../../x"), {"a": torch.zeros(1)})


def test_contents_do_not_depend_on_the_file_order_precision_or_temperature() -> None:
    tensors = {"a": torch.tensor([0.5, 2.0]), "b": torch.tensor([1])}
    other = {"b": torch.tensor([1]), "a": torch.tensor([0.5, 2.0]).half(), "logit_scale": torch.tensor(4.6)}
    assert content_hash(tensors) == content_hash(other)
    assert content_hash(tensors) != content_hash({**tensors, "a": torch.tensor([0.5, 2.5])})


def test_other_safetensors_in_the_folder_are_left_alone(folder: WeightsStore) -> None:
    folder.path.mkdir()
    save_file({"a": torch.zeros(1)}, folder.path / "mine.safetensors")
    assert folder.list_all() == []
    assert load_file(folder.path / "mine.safetensors")["a"] == 0


def _heads_card(tag: str) -> WeightsCard:
    return WeightsCard("inctrl-heads", "inctrl", tag, source="here", contents=tag, backbone="tiny:ours")


def test_two_backbones_can_have_prompts_and_heads_of_one_name(tmp_path: Path) -> None:
    folder = WeightsStore(tmp_path)
    for kind in ("coop-prompts", "inctrl-visual-heads"):
        for backbone, value in (("here", 1.0), ("resnet18 layer3", 2.0), ("here", 3.0), ("resnet18 layer3", 4.0)):
            card = WeightsCard(kind, kind, "mine", "a test", str(value), backbone=backbone)
            folder.put(card, {"w": torch.full((1,), value)})
    found = {(one.card.kind, one.card.backbone): float(folder.tensors(one)["w"]) for one in folder.list_all()}
    assert found == {
        (kind, backbone): value
        for kind in ("coop-prompts", "inctrl-visual-heads")
        for backbone, value in (("here", 3.0), ("resnet18 layer3", 4.0))
    }
    usual = tmp_path / "coop-prompts.mine.safetensors"
    usual.write_bytes(usual.read_bytes()[:-3])
    card = WeightsCard("coop-prompts", "coop-prompts", "mine", "a test", "5", backbone="here")
    assert folder.put(card, {"w": torch.full((1,), 5.0)}).path == usual
