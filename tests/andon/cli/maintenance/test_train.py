import json
from pathlib import Path

import pytest
import torch

from scorer.detectors import registry
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from testing.command_line import Andon
from testing.line import encoded, part
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_backbone

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def one_core(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_SCORER__TORCH_THREADS", "1")
    monkeypatch.setenv("ANDON_SCORER__DEVICE", "cpu")


def write_labelled_set(folder: Path, first: int) -> Path:
    for kind, count, defect in (("train/good", 3, False), ("test/blot", 2, True)):
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            (folder / kind / f"{number}.png").write_bytes(encoded(part(first + number, defect)))
    return folder


def settings_with_heads(folder: Path, tag: str, detector: str) -> ScorerSettings:
    return ScorerSettings(detector=detector, weights_path=folder, inctrl_heads=tag, device="cpu", engine="torch")


def scores(settings: ScorerSettings) -> list[float]:
    model = registry.load(settings, Framing("letterbox"))
    references = model.references([part(number) for number in range(3)], "bolt")
    scored = model.score([part(7), part(8, defect=True)], references)
    return [float(score) for score in scored.image_scores]


def test_heads_for_andon_tiny_are_stored_and_loaded_by_their_tag(andon: Andon, workplace: Path) -> None:
    bolts = write_labelled_set(workplace / "bolts", 100)
    finished = andon("train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 2, "--tag", "mine")
    assert finished.code == 0, finished.err
    assert finished.out.startswith("inctrl-visual:mine is in ")
    assert "set scorer.inctrl_heads to mine to use it" in finished.out
    (listed,) = json.loads(andon("weights", "list", "--json").out)
    assert (listed["name"], listed["kind"], listed["backbone"]) == (
        "inctrl-visual:mine",
        "inctrl-visual-heads",
        "andon-tiny",
    )
    assert all(
        0 <= score <= 1 for score in scores(settings_with_heads(workplace / ".andon/weights", "mine", "inctrl-visual"))
    )
    first = Path(listed["file"]).read_bytes()
    assert andon("train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 2, "--tag", "mine").code == 0
    assert Path(listed["file"]).read_bytes() == first
    other = andon(
        "train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 1, "--tag", "mine", "--backbone", "filterbank"
    )
    assert other.code == 0, other.err
    backbones = [weights["backbone"] for weights in json.loads(andon("weights", "list", "--json").out)]
    assert sorted(backbones) == ["andon-tiny", "filterbank"]
    assert Path(listed["file"]).read_bytes() == first


def test_leave_one_out_trains_without_each_dataset(andon: Andon, workplace: Path) -> None:
    sets = [write_labelled_set(workplace / name, first) for name, first in (("bolts", 100), ("nuts", 200))]
    finished = andon(
        "train", "inctrl", "--data", sets[0], "--data", sets[1], "--synthetic", 2, "--steps", 1, "--leave-one-out"
    )
    assert finished.code == 0, finished.err
    listed = json.loads(andon("weights", "list", "--json").out)
    assert [weights["name"] for weights in listed] == ["inctrl-visual:held_out_bolts", "inctrl-visual:held_out_nuts"]
    alone = andon("train", "inctrl", "--data", sets[0], "--synthetic", 2, "--steps", 1, "--leave-one-out")
    assert alone.code == 1


@pytest.fixture
def tiny_clip(andon: Andon, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workplace / "tiny.json").write_text(json.dumps(CONFIG))
    torch.save(tiny_backbone().network.state_dict(), workplace / "towers.pt")
    result = andon("weights", "import", "towers.pt", "--model", "tiny", "--config", "tiny.json", "--tag", "random")
    assert result.code == 0, result.err
    monkeypatch.setenv("ANDON_SCORER__BACKBONE", "openclip/tiny:random")


@pytest.mark.usefixtures("tiny_clip")
def test_heads_for_a_clip_are_those_of_inctrl(andon: Andon, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bolts = write_labelled_set(workplace / "bolts", 100)
    finished = andon("train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 2, "--tag", "mine")
    assert finished.code == 0, finished.err
    assert finished.out.startswith("inctrl:mine is in ")
    assert len(scores(settings_with_heads(workplace / ".andon/weights", "mine", "inctrl"))) == 2
    monkeypatch.setenv("ANDON_SCORER__WEIGHTS_PATH", str(workplace / "elsewhere"))
    again = andon("weights", "import", workplace / ".andon/weights/inctrl.mine.safetensors")
    assert again.code == 0, again.err


@pytest.mark.usefixtures("tiny_clip")
def test_prompts_are_trained_on_a_clip_stored_and_loaded_by_their_tag(andon: Andon, workplace: Path) -> None:
    bolts = write_labelled_set(workplace / "bolts", 100)
    command = (
        "train",
        "coop",
        "--data",
        bolts,
        "--synthetic",
        3,
        "--context-tokens",
        4,
        "--steps",
        2,
        "--tag",
        "mine",
    )
    finished = andon(*command)
    assert finished.code == 0, finished.err
    assert finished.out.startswith("coop:mine is in ")
    assert "set scorer.coop_prompts to mine to use it" in finished.out
    listed = {weights["name"]: weights for weights in json.loads(andon("weights", "list", "--json").out)}
    assert (listed["coop:mine"]["kind"], listed["coop:mine"]["backbone"]) == ("coop-prompts", "tiny:random")
    learned = Path(listed["coop:mine"]["file"]).read_bytes()
    assert andon(*command).code == 0
    assert Path(listed["coop:mine"]["file"]).read_bytes() == learned
    assert andon(*command, "--seed", 1).code == 0
    assert Path(listed["coop:mine"]["file"]).read_bytes() != learned
    settings = ScorerSettings(
        engine="torch",
        detector="coop",
        backbone="openclip/tiny",
        weights_path=workplace / ".andon/weights",
        device="cpu",
    )
    assert all(0 <= score <= 1 for score in scores(settings))
    refused = andon("train", "coop", "--data", bolts, "--steps", 1)
    assert refused.code == 1
    assert "1 to 12, not 16" in refused.err


def test_prompts_need_a_text_tower_and_a_valid_tag(andon: Andon, workplace: Path) -> None:
    bolts = write_labelled_set(workplace / "bolts", 100)
    finished = andon("train", "coop", "--data", bolts)
    assert finished.code == 1
    assert all(named in finished.err for named in ("andon-tiny", "scorer.backbone"))
    assert len(finished.err.splitlines()) == 1
    heads = andon("train", "inctrl", "--data", bolts, "--synthetic", 2, "--steps", 1, "--tag", "../mine")
    assert (heads.code, heads.err.splitlines()[-1]) == (
        1,
        "andon: '../mine' is no tag; use letters, digits, dots, dashes and underscores.",
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "nothing to train on"),
        (("--data", "empty"), "train/good"),
        (("--photos", "empty"), "no photographs"),
        (("--data", "empty", "--framing", "tiles_2"), "letterbox, stretch, centre_crop"),
        (("--data", "here/bolts", "--data", "there/bolts"), "bolts"),
    ],
)
def test_unusable_training_data_is_refused_in_one_sentence(
    andon: Andon, workplace: Path, options: tuple[str, ...], named: str
) -> None:
    (workplace / "empty").mkdir()
    for folder_name in ("here", "there"):
        write_labelled_set(workplace / folder_name / "bolts", 100)
    finished = andon("train", "inctrl", *options)
    assert finished.code == 1
    assert named in finished.err
    assert len(finished.err.splitlines()) == 1
