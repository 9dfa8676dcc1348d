"""An address opens any kind of source, also one that another package adds."""

from pathlib import Path

import pytest

from foundation.errors import PluginError
from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources.folder.folder import Folder
from ingest.sources.protocol import Source
from ingest.sources.registry import open_source
from ingest.sources.replay import Replay
from ingest.sources.simulated.line import SimulatedLine
from ingest.sources.video.camera import Camera
from ingest.sources.video.recording import Recording
from testing.images import png

PLUGIN = """
from ingest.errors import SourceError

class Still:
    def __init__(self, location, station):
        self.location, self.station = location, station
    def frames(self, stop):
        yield from ()
    def confirm(self, frame):
        pass
    def close(self):
        pass

def open_still(location, station, settings):
    if location == "missing":
        raise SourceError("There is no still image.")
    if location == "bug":
        raise KeyError(location)
    return Still(location, station)

def open_nothing(location, station, settings):
    return None

not_a_function = 3
"""


def install(site: Path, package: str, /, **kinds: str) -> None:
    """Install a package of one module that registers source kinds, such as ``still="open_still"``."""
    module = package.replace("-", "_")
    (site / f"{module}.py").write_text(PLUGIN)
    metadata = site / f"{module}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    entries = "\n".join(f"{kind} = {module}:{name}" for kind, name in kinds.items())
    (metadata / "entry_points.txt").write_text(f"[andon.sources]\n{entries}\n")


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on Python's import path."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_the_prefix_of_an_address_selects_the_source(tmp_path: Path) -> None:
    (tmp_path / "test" / "good").mkdir(parents=True)
    (tmp_path / "test" / "good" / "a.png").write_bytes(png(1))
    (tmp_path / "film.mp4").write_bytes(b"")
    settings = IngestSettings(state_path=tmp_path / "state")
    kinds: dict[str, type[Source]] = {
        f"folder:{tmp_path}": Folder,
        f"replay:{tmp_path}": Replay,
        f"video:{tmp_path / 'film.mp4'}": Recording,
        "video:rtsp://user:secret@camera.local:554/stream": Camera,
        "video:http://camera.local/mjpeg?fps=5": Camera,
        "simulated:brick?seed=3": SimulatedLine,
    }

    for address, kind in kinds.items():
        source = open_source(address, "s1", settings)
        assert isinstance(source, kind), address
        source.close()


@pytest.mark.parametrize("address", ["brick", ":x", "ftp:there", "folder:", "video:ftp://camera/film", "video:no.mp4"])
def test_an_address_of_no_source_is_refused(address: str) -> None:
    with pytest.raises(SourceError):
        open_source(address, "s1", IngestSettings())


def test_another_package_adds_a_kind(site_packages: Path) -> None:
    install(site_packages, "andon-still", still="open_still")

    source = open_source("still:part.jpg", "s1", IngestSettings())

    assert (getattr(source, "location", None), getattr(source, "station", None)) == ("part.jpg", "s1")
    with pytest.raises(SourceError, match="still:…"):
        open_source("unknown:x", "s1", IngestSettings())


def test_a_source_error_of_another_package_passes_through(site_packages: Path) -> None:
    install(site_packages, "andon-still", still="open_still")

    with pytest.raises(SourceError):
        open_source("still:missing", "s1", IngestSettings())


@pytest.mark.parametrize("address", ["still:bug", "absent:x", "number:x", "nothing:x"])
def test_a_broken_package_is_a_plugin_error(site_packages: Path, address: str) -> None:
    install(
        site_packages, "andon-broken", still="open_still", absent="no_such", number="not_a_function",
        nothing="open_nothing",
    )  # fmt: skip

    with pytest.raises(PluginError, match=address.partition(":")[0]):
        open_source(address, "s1", IngestSettings())


def test_a_kind_of_two_packages_is_a_plugin_error(site_packages: Path) -> None:
    install(site_packages, "andon-one", still="open_still")
    install(site_packages, "andon-two", still="open_still")

    with pytest.raises(PluginError, match=r"andon-one 1\.2 and andon-two 1\.2"):
        open_source("still:x", "s1", IngestSettings())


def test_another_package_cannot_replace_a_built_in_kind(site_packages: Path, tmp_path: Path) -> None:
    install(site_packages, "andon-folder", folder="open_still")

    with pytest.raises(SourceError):
        open_source(f"folder:{tmp_path / 'missing'}", "s1", IngestSettings(state_path=tmp_path))
