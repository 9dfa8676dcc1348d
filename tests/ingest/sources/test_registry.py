"""One address names any source."""

from pathlib import Path

import pytest

from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources.folder.folder import Folder
from ingest.sources.registry import open_source
from ingest.sources.replay import Replay
from ingest.sources.simulated.line import SimulatedLine
from ingest.sources.video.camera import Camera
from ingest.sources.video.recording import Recording
from testing.images import png


def test_the_kind_before_the_colon_decides(tmp_path: Path) -> None:
    (tmp_path / "test" / "good").mkdir(parents=True)
    (tmp_path / "test" / "good" / "a.png").write_bytes(png(1))
    (tmp_path / "film.mp4").write_bytes(b"")
    settings = IngestSettings(state_path=tmp_path / "state")
    kinds = {
        f"folder:{tmp_path}": Folder,
        f"replay:{tmp_path}": Replay,
        f"video:{tmp_path / 'film.mp4'}": Recording,
        "video:rtsp://user:secret@camera.local:554/stream": Camera,
        "video:http://camera.local/mjpeg?fps=5": Camera,
        "simulated:brick?seed=3": SimulatedLine,
    }

    for where, kind in kinds.items():
        source = open_source(where, "s1", settings)
        assert isinstance(source, kind), where
        source.close()


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("brick", "write one of folder:…, video:…, replay:…, simulated:…"),
        ("ftp:there", "There is no source 'ftp:there'"),
        ("folder:", "names no place"),
        ("video:ftp://camera/film", "begins with one of rtsp://, rtsps://, http://, https://, not ftp://"),
        ("video:no/such.mp4", "There is no video file no/such.mp4"),
    ],
)
def test_an_address_that_names_nothing_is_refused_in_one_sentence(where: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        open_source(where, "s1", IngestSettings())
