"""A simulated first day, from image files to rates."""

from pathlib import Path

import pytest

from scorer.evaluation.stream.simulation import StreamConfig, StreamKey, StreamMetrics, simulate
from scorer.evaluation.stream.stream_tables import stream_tables
from scorer.settings import ScorerSettings
from tests.scorer.evaluation.dataset_folder import write_dataset

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> StreamConfig:
    folder = write_dataset(tmp_path_factory.mktemp("data") / "bolts", pool=36, good=8, bad=8, masks=False)
    return StreamConfig((folder,), "filterbank", (4,), (0.1,), (0, 40), (0, 8), seeds=1)


def test_a_station_learns_and_an_interrupted_simulation_resumes(config: StreamConfig, tmp_path: Path) -> None:
    settings, path = ScorerSettings(torch_threads=1), tmp_path / "stream.jsonl"
    results = simulate(config, path, settings)
    by_stage = {(key.frames, key.answers): metrics for key, metrics in results.items()}
    assert list(by_stage) == [(0, 0), (40, 0), (40, 8)]
    assert by_stage[0, 0].normals_in_use == 4
    assert by_stage[40, 8].normals_in_use > 4
    assert by_stage[40, 8].defects_among_normals == 0
    assert by_stage[40, 8].found == 4
    assert by_stage[40, 8].caught >= by_stage[0, 0].caught
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][:20])
    assert simulate(config, path, settings) == results
    assert len(path.read_text().splitlines()) == 3


def test_the_tables_average_datasets_before_draws() -> None:
    def key(dataset: str, seed: int) -> StreamKey:
        return StreamKey("model", "1", dataset, "", 4, 0.05, 200, 10, seed)

    def metrics(caught: float) -> StreamMetrics:
        return StreamMetrics(caught, 0.01, 0.9, 200, 4, 64, 0)

    results = {
        key("a", 0): metrics(0.2),
        key("b", 0): metrics(0.4),
        key("a", 1): metrics(0.4),
        key("b", 1): metrics(0.6),
    }
    tables = stream_tables(results)
    assert [table.title for table in tables] == ["Mean of a, b", "a", "b"]
    assert tables[0].rows == (("4", "5 %", "200", "10", "40.0 ± 10.0", "1.0 ± 0.0", "90.0 ± 0.0", "4.0"),)
