import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.accuracy import official_inctrl
from testing.datasets import shared_path
from tests.scorer.backbones.tiny_clip import CONFIG, tiny_backbone, tiny_heads, tiny_pixels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.data
def test_the_official_outputs_are_reproduced_one_by_one_and_as_one_batch(tmp_path: Path) -> None:
    report = tmp_path / "golden.json"
    assert official_inctrl.main([str(shared_path("golden/inctrl_official")), "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    assert found["holds"] is True
    assert max(value for output in found["differences"].values() for value in output.values()) < 1e-5


@pytest.fixture
def golden_folder(tmp_path: Path) -> Path:
    """A golden folder of another size, grid and width, whose outputs are this project's own."""
    backbone, heads = tiny_backbone(), tiny_heads()
    state = {**backbone.network.state_dict(), **heads.state_dict()}
    torch.save(
        {"model_state": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "checkpoint.pyth"
    )
    (tmp_path / "model_config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "cases.json").write_text(json.dumps([{"case": 0, "category": "metal_nut", "shot": 2, "queries": 3}]))
    model = official_inctrl.official_model(tmp_path)
    normals, queries = tiny_pixels(2, seed=1), tiny_pixels(3, seed=2)
    scores = model.score(model.encode(queries), model.context(model.encode(normals), "metal_nut"))
    outputs = {f"case0.{name}": getattr(scores, name).contiguous() for name in official_inctrl.OUTPUTS}
    save_file({"case0.normals": normals, "case0.queries": queries, **outputs}, tmp_path / "cases.safetensors")
    return tmp_path


def change_output(golden_folder: Path, output: str, difference: float) -> None:
    tensors = load_file(golden_folder / "cases.safetensors")
    tensors[f"case0.{output}"][-1] += difference
    save_file(tensors, golden_folder / "cases.safetensors")


def test_other_sizes_grids_and_widths_are_compared(golden_folder: Path) -> None:
    assert official_inctrl.main([str(golden_folder)]) == 0


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_an_output_that_differs_fails_and_is_named(
    golden_folder: Path, capsys: pytest.CaptureFixture[str], difference: float
) -> None:
    change_output(golden_folder, "patch_residual_map", difference)
    assert official_inctrl.main([str(golden_folder)]) == 1
    shown = capsys.readouterr().out
    assert "DOES NOT HOLD" in shown
    shown_of_map = next(line for line in shown.splitlines() if line.startswith("patch_residual_map"))
    assert shown_of_map.split()[1] in ("2.000e-04", "inf")


def test_a_missing_file_is_named(golden_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (golden_folder / "cases.safetensors").unlink()
    assert official_inctrl.main([str(golden_folder)]) == 2
    assert "cases.safetensors" in capsys.readouterr().err
