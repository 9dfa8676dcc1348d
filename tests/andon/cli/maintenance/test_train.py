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


def labelled_set(folder: Path, first: int) -> Path:
    for kind, count, defect in (("train/good", 3, False), ("test/blot", 2, True)):
        (folder / kind).mkdir(parents=True)
        for one in range(count):
            (folder / kind / f"{one}.png").write_bytes(encoded(part(first + one, defect)))
    return folder


def heads_of(folder: Path, tag: str, detector: str) -> ScorerSettings:
    return ScorerSettings(detector=detector, weights_path=folder, inctrl_heads=tag, device="cpu", engine="torch")


def scores(settings: ScorerSettings) -> list[float]:
    model = registry.load(settings, Framing("letterbox"))
    references = model.references([part(number) for number in range(3)], "bolt")
    scored = model.score([part(7), part(8, defect=True)], references)
    return [float(score) for score in scored.image_scores]


def test_heads_for_andon_tiny_are_kept_and_used_by_their_tag(andon: Andon, workplace: Path) -> None:
    bolts = labelled_set(workplace / "bolts", 100)
    done = andon("train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 2, "--tag", "mine")
    assert done.code == 0, done.err
    assert done.out.startswith("inctrl-visual:mine is in ")
    assert "set scorer.inctrl_heads to mine to use it" in done.out
    (listed,) = json.loads(andon("weights", "list", "--json").out)
    assert (listed["name"], listed["kind"], listed["backbone"]) == (
        "inctrl-visual:mine",
        "inctrl-visual-heads",
        "andon-tiny",
    )
    assert all(0 <= score <= 1 for score in scores(heads_of(workplace / ".andon/weights", "mine", "inctrl-visual")))
    first = Path(listed["file"]).read_bytes()
    assert andon("train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 2, "--tag", "mine").code == 0
    assert Path(listed["file"]).read_bytes() == first
    other = andon(
        "train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 1, "--tag", "mine", "--backbone", "filterbank"
    )
    assert other.code == 0, other.err
    backbones = [one["backbone"] for one in json.loads(andon("weights", "list", "--json").out)]
    assert sorted(backbones) == ["andon-tiny", "filterbank"]
    assert Path(listed["file"]).read_bytes() == first


def test_each_set_is_left_out_in_turn(andon: Andon, workplace: Path) -> None:
    sets = [labelled_set(workplace / name, first) for name, first in (("bolts", 100), ("nuts", 200))]
    done = andon(
        "train", "inctrl", "--data", sets[0], "--data", sets[1], "--synthetic", 2, "--steps", 1, "--leave-one-out"
    )
    assert done.code == 0, done.err
    listed = json.loads(andon("weights", "list", "--json").out)
    assert [one["name"] for one in listed] == ["inctrl-visual:held_out_bolts", "inctrl-visual:held_out_nuts"]
    alone = andon("train", "inctrl", "--data", sets[0], "--synthetic", 2, "--steps", 1, "--leave-one-out")
    assert alone.code == 1


@pytest.fixture
def tiny_clip(andon: Andon, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workplace / "tiny.json").write_text(json.dumps(CONFIG))
    torch.save(tiny_backbone().network.state_dict(), workplace / "towers.pt")
    imported = andon("weights", "import", "towers.pt", "--model", "tiny", "--config", "tiny.json", "--tag", "random")
    assert imported.code == 0, imported.err
    monkeypatch.setenv("ANDON_SCORER__BACKBONE", "openclip/tiny:random")


@pytest.mark.usefixtures("tiny_clip")
def test_heads_for_a_clip_are_inctrls_own(andon: Andon, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bolts = labelled_set(workplace / "bolts", 100)
    done = andon("train", "inctrl", "--data", bolts, "--synthetic", 3, "--steps", 2, "--tag", "mine")
    assert done.code == 0, done.err
    assert done.out.startswith("inctrl:mine is in ")
    assert len(scores(heads_of(workplace / ".andon/weights", "mine", "inctrl"))) == 2
    monkeypatch.setenv("ANDON_SCORER__WEIGHTS_PATH", str(workplace / "elsewhere"))
    again = andon("weights", "import", workplace / ".andon/weights/inctrl.mine.safetensors")
    assert again.code == 0, again.err


@pytest.mark.usefixtures("tiny_clip")
def test_prompts_are_learned_on_a_clip_kept_and_used_by_their_tag(andon: Andon, workplace: Path) -> None:
    bolts = labelled_set(workplace / "bolts", 100)
    learning = (
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
    done = andon(*learning)
    assert done.code == 0, done.err
    assert done.out.startswith("coop:mine is in ")
    assert "set scorer.coop_prompts to mine to use it" in done.out
    listed = {one["name"]: one for one in json.loads(andon("weights", "list", "--json").out)}
    assert (listed["coop:mine"]["kind"], listed["coop:mine"]["backbone"]) == ("coop-prompts", "tiny:random")
    learned = Path(listed["coop:mine"]["file"]).read_bytes()
    assert andon(*learning).code == 0
    assert Path(listed["coop:mine"]["file"]).read_bytes() == learned
    assert andon(*learning, "--seed", 1).code == 0
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


def test_prompts_need_a_text_tower_and_a_tag_that_is_one(andon: Andon, workplace: Path) -> None:
    bolts = labelled_set(workplace / "bolts", 100)
    done = andon("train", "coop", "--data", bolts)
    assert done.code == 1
    assert "the backbone andon-tiny has no text tower; set scorer.backbone to a CLIP" in done.err
    assert len(done.err.splitlines()) == 1
    heads = andon("train", "inctrl", "--data", bolts, "--synthetic", 2, "--steps", 1, "--tag", "../mine")
    assert (heads.code, heads.err.splitlines()[-1]) == (
        1,
        "andon: '../mine' is no tag; use letters, digits, dots, dashes and underscores.",
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "nothing to train on"),
        (("--data", "empty"), "train/good"),
        (("--photos", "empty"), "no photographs"),
        (("--data", "empty", "--framing", "tiles_2"), "letterbox, stretch, centre_crop"),
        (("--data", "here/bolts", "--data", "there/bolts"), "bolts"),
    ],
)
def test_what_cannot_be_trained_on_is_said_in_one_sentence(
    andon: Andon, workplace: Path, words: tuple[str, ...], sentence: str
) -> None:
    (workplace / "empty").mkdir()
    for place in ("here", "there"):
        labelled_set(workplace / place / "bolts", 100)
    done = andon("train", "inctrl", *words)
    assert done.code == 1
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
