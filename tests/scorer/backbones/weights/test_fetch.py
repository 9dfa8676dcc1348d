"""The real hub client against a hub that the test serves on this machine."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scorer.backbones.weights.fetch import hub_source
from scorer.errors import ModelUnavailable
from testing.ports import free_port

FETCH = """
import sys
from pathlib import Path
from scorer.errors import ScorerError
from scorer.backbones.weights.store import WeightsStore
from scorer.backbones.weights.fetch import fetch
for line in sys.stdin:
    folder, name = line.rstrip("\\n").split("\\t")
    try:
        kept = fetch(WeightsStore(Path(folder)), name, lambda done, total: print("bytes", done, total))
        print("kept", kept.card.name, kept.card.source)
    except ScorerError as error:
        print("told", type(error).__name__, error)
    print("end", flush=True)
"""
"""Fetches for each line of its input; one process for all tests, since the hub's client takes seconds to import."""


class Hub(ThreadingHTTPServer):
    """Serves `content` as the one file of every repository, under the sha256 `says`."""

    def __init__(self, port: int, content: bytes, sha256: str, file: str) -> None:
        super().__init__(("127.0.0.1", port), HubHandler)
        self.content, self.sha256, self.file, self.requested_paths = content, sha256, file, list[str]()


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._respond(b"")

    def do_GET(self) -> None:
        self._respond(self.server.content)

    def _respond(self, body: bytes) -> None:
        self.server.requested_paths.append(self.path)
        found = self.path.endswith(f"/{self.server.file}")
        self.send_response(200 if found else 404)
        if found:
            self.send_header("ETag", f'"{self.server.sha256}"')
            self.send_header("X-Repo-Commit", "c" * 40)
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.server.content) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serve_hub(
    port: int, content: bytes, sha256: str | None = None, file: str = "open_clip_model.safetensors"
) -> Iterator[Hub]:
    hub = Hub(port, content, sha256 or hashlib.sha256(content).hexdigest(), file)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


@dataclass(frozen=True)
class Fetcher:
    """A process that fetches weights from the hub at `port`, where nothing listens unless a test serves one."""

    port: int
    process: "subprocess.Popen[str]"

    def fetch(self, folder: Path, name: str) -> list[str]:
        """Fetch into `folder`; return what was printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{folder}\t{name}\n")
        self.process.stdin.flush()
        printed: list[str] = []
        for line in self.process.stdout:
            if line == "end\n":
                return printed
            printed.append(line.rstrip("\n"))
        raise AssertionError(f"the process ended with {self.process.wait()}")


@pytest.fixture(scope="module")
def fetcher() -> Iterator[Fetcher]:
    port = free_port()
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_DISABLE_XET": "1"}
    environment = {k: v for k, v in environment.items() if k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    with subprocess.Popen(
        [sys.executable, "-c", FETCH], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Fetcher(port, process)


@pytest.fixture
def other_weights(fetcher: Fetcher) -> Iterator[Hub]:
    """A valid safetensors file that is no ViT-B-16-plus-240."""
    with serve_hub(fetcher.port, (2).to_bytes(8, "little") + b"{}") as hub:
        yield hub


@pytest.fixture
def other_transformer(fetcher: Fetcher) -> Iterator[Hub]:
    """A valid safetensors file that is no transformer."""
    with serve_hub(fetcher.port, (2).to_bytes(8, "little") + b"{}", file="model.safetensors") as hub:
        yield hub


@pytest.fixture
def wrong_sha256_hub(fetcher: Fetcher) -> Iterator[Hub]:
    with serve_hub(fetcher.port, b"what was meant is something else", sha256="0" * 64) as hub:
        yield hub


def test_weights_are_fetched_from_the_repository_of_the_tag(
    tmp_path: Path, other_weights: Hub, fetcher: Fetcher
) -> None:
    printed = fetcher.fetch(tmp_path, "ViT-B-16-plus-240:laion400m_e32")
    assert (
        "/timm/vit_base_patch16_plus_clip_240.laion400m_e32/resolve/main/open_clip_model.safetensors"
        in other_weights.requested_paths
    )
    assert printed[0].startswith("bytes 10 ")
    assert printed[-1].startswith("told InvalidWeights")
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_download_with_another_sha256_is_deleted(tmp_path: Path, wrong_sha256_hub: Hub, fetcher: Fetcher) -> None:
    printed = fetcher.fetch(tmp_path, "ViT-B-16-plus-240:laion400m_e32")
    assert printed[-1].startswith("told InvalidWeights")
    assert "000000000000" in printed[-1]
    assert not (tmp_path / ".downloads" / "open_clip_model.safetensors").exists()


def test_without_a_network_the_error_names_the_file_and_the_import_command(tmp_path: Path, fetcher: Fetcher) -> None:
    printed = fetcher.fetch(tmp_path, "ViT-B-16-plus-240:laion400m_e32")
    assert len(printed) == 1
    assert printed[0].startswith("told ModelUnavailable")
    assert "timm/vit_base_patch16_plus_clip_240.laion400m_e32" in printed[0]
    assert (
        "run andon weights import open_clip_model.safetensors --model ViT-B-16-plus-240 --tag laion400m_e32"
        in printed[0]
    )
    assert str(tmp_path) in printed[0]


def test_a_timm_transformer_is_fetched_from_its_own_repository(
    tmp_path: Path, other_transformer: Hub, fetcher: Fetcher
) -> None:
    printed = fetcher.fetch(tmp_path, "timm/test_vit")
    assert "/timm/test_vit.r160_in1k/resolve/main/model.safetensors" in other_transformer.requested_paths
    assert printed[0].startswith("bytes 10 ")
    assert printed[-1].startswith("told InvalidWeights")
    assert "test_vit" in printed[-1]
    assert list(tmp_path.glob("*.safetensors")) == []


def test_without_a_network_the_error_for_a_timm_transformer_names_the_import_command(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    printed = fetcher.fetch(tmp_path, "timm/vit_small_patch14_dinov2.lvd142m")
    assert len(printed) == 1
    assert printed[0].startswith("told ModelUnavailable")
    assert f"http://127.0.0.1:{fetcher.port}" in printed[0]
    assert "andon weights import model.safetensors --timm vit_small_patch14_dinov2.lvd142m" in printed[0]
    assert str(tmp_path) in printed[0]


def test_a_fetched_transformer_is_stored_with_its_source(tmp_path: Path, fetcher: Fetcher) -> None:
    from safetensors.torch import save
    from timm import create_model

    content = save(dict(create_model("test_vit").state_dict()))
    with serve_hub(fetcher.port, content, file="model.safetensors"):
        printed = fetcher.fetch(tmp_path, "timm/test_vit.r160_in1k")
        assert printed[-1] == "kept timm/test_vit.r160_in1k timm/test_vit.r160_in1k/model.safetensors"


def test_an_unknown_tag_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelUnavailable, match=r"laion .*ViT-B-16-plus-240.*laion400m_e31, laion400m_e32"):
        hub_source("ViT-B-16-plus-240", "laion")
    with pytest.raises(ModelUnavailable, match="bolt"):
        hub_source("bolt", "")


def test_each_tag_has_its_own_repository() -> None:
    assert hub_source("ViT-B-16-plus-240", "laion400m_e31").repository.endswith(".laion400m_e31")
    assert hub_source("ViT-B-32", "metaclip_fullcc").repository == "timm/vit_base_patch32_clip_224.metaclip_2pt5b"
