"""`andon bench` run as a command."""

import json
from pathlib import Path

import pytest

from testing.command_line import Andon
from tests.scorer.evaluation.dataset_folder import write_dataset

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ("--methods", "nearest-patch", "--backbone", "filterbank", "--seeds", "1", "--threads", "1")


@pytest.fixture
def folders(workplace: Path) -> list[Path]:
    return [write_dataset(workplace / "data" / name, pool=4, good=3, bad=2) for name in ("bolts", "nuts")]


def test_the_benchmark_writes_a_table_json_a_page_and_plots(andon: Andon, folders: list[Path]) -> None:
    Path("page.md").write_text("# Accuracy\n<!-- accuracy -->\n<!-- end of accuracy -->\n")
    finished = andon(
        *("bench", "accuracy", "--data", *folders, "--shots", "2,3", *QUICK),
        *("--json", "out.json", "--markdown", "page.md", "--plots", "images"),
    )
    assert finished.code == 0, finished.err
    assert "Mean of bolts, nuts" in finished.out
    result = json.loads(Path("out.json").read_text())
    assert [(row["dataset"], row["shots"]) for row in result["rows"]] == [
        (name, shots) for name in ("bolts", "nuts") for shots in (2, 3)
    ]
    assert all(row["auroc"]["mean"] == 1 and row["aupro"]["mean"] > 0.8 for row in result["rows"])
    assert "| nearest-patch | filterbank | 100.0 ± 0.0 |" in Path("page.md").read_text()
    assert Path("images/accuracy-filterbank.svg").is_file()
    assert len(Path(".andon/accuracy.jsonl").read_text().splitlines()) == 4
    again = andon("bench", "accuracy", "--data", "data", "--shots", "2,3", *QUICK)
    assert again.out == finished.out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--data", "nowhere"), "nowhere"),
        (("--data", "data/bolts", "--shots", "two"), "two"),
        (("--data", "data/bolts", "--shots", "1,2"), "--shots takes numbers from 2"),
        (("--data", "data/bolts", "--shots", "64"), "64 shots"),
        (("--data", "data/bolts", "--shots", "2", "--methods", "wish"), "wish"),
        (("--data", "data/bolts", "--shots", "2", "--backbone", "wish"), "wish"),
        (("--data", "data/bolts", "--shots", "2", "--framing", "wish"), "wish"),
        (("--data", "data/bolts", "--shots", "2", "--backbone", "teacher:wish.npz"), "wish.npz"),
    ],
)
def test_an_invalid_option_is_named_in_one_sentence(
    andon: Andon, folders: list[Path], options: tuple[str, ...], named: str
) -> None:
    finished = andon("bench", "accuracy", *options)
    assert finished.code == 1
    assert named in finished.err
    assert len(finished.err.strip().splitlines()) == 1


def test_a_first_day_is_simulated_and_written_into_a_page(andon: Andon, workplace: Path) -> None:
    write_dataset(workplace / "data" / "bolts", pool=36, good=4, bad=4, masks=False)
    Path("page.md").write_text("# Learning\n<!-- stream -->\n<!-- end of stream -->\n")
    finished = andon(
        *("bench", "stream", "--data", "data", "--backbone", "filterbank", "--seeds", "1", "--frames", "0,30"),
        *("--answers", "0", "--markdown", "page.md"),
    )
    assert finished.code == 0, finished.err
    assert finished.out.splitlines()[1] == "bolts"
    assert "| 4 | 5 % | 30 | 0 |" in Path("page.md").read_text()


@pytest.mark.parametrize(
    "options", [("--normals", "1"), ("--normals", "65"), ("--defects", "1"), ("--defects", "few"), ("--frames", "-1")]
)
def test_an_impossible_day_is_refused_in_one_sentence(
    andon: Andon, folders: list[Path], options: tuple[str, str]
) -> None:
    finished = andon("bench", "stream", "--data", *folders, *options)
    assert finished.code == 1
    assert options[0] in finished.err
    assert len(finished.err.strip().splitlines()) == 1
