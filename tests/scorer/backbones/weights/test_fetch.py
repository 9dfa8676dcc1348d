"""The real hub client against a hub that the test serves on this machine."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scorer.backbones.weights.fetch import hub_source
from scorer.errors import ModelUnavailable

FETCH = """
import sys
from pathlib import Path
from scorer.errors import ScorerError
from scorer.backbones.weights.store import WeightsStore
from scorer.backbones.weights.fetch import fetch
try:
    kept = fetch(WeightsStore(Path(sys.argv[1])), sys.argv[2], lambda done, total: print("bytes", done, total))
    print("kept", kept.card.name, kept.card.source)
except ScorerError as error:
    print("told", type(error).__name__, error)
"""


class Hub(ThreadingHTTPServer):
    """Serves `content` as the one file of every repository, under the sha256 `says`."""

    def __init__(self, content: bytes, sha256: str, file: str) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
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


def serve_hub(content: bytes, sha256: str | None = None, file: str = "open_clip_model.safetensors") -> Iterator[Hub]:
    hub = Hub(content, sha256 or hashlib.sha256(content).hexdigest(), file)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


def run_fetch(folder: Path, name: str, port: int) -> list[str]:
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_DISABLE_XET": "1"}
    environment = {k: v for k, v in environment.items() if k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    finished = subprocess.run(
        [sys.executable, "-c", FETCH, str(folder), name], env=environment, capture_output=True, text=True, timeout=150
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


@pytest.fixture
def other_weights() -> Iterator[Hub]:
    """A valid safetensors file that is no ViT-B-16-plus-240."""
    yield from serve_hub((2).to_bytes(8, "little") + b"{}")


@pytest.fixture
def other_transformer() -> Iterator[Hub]:
    """A valid safetensors file that is no transformer."""
    yield from serve_hub((2).to_bytes(8, "little") + b"{}", file="model.safetensors")


@pytest.fixture
def wrong_sha256_hub() -> Iterator[Hub]:
    yield from serve_hub(b"what was meant is something else", sha256="0" * 64)


def test_weights_are_fetched_from_the_repository_of_the_tag(tmp_path: Path, other_weights: Hub) -> None:
    printed = run_fetch(tmp_path, "ViT-B-16-plus-240:laion400m_e32", other_weights.server_port)
    assert (
        "/timm/vit_base_patch16_plus_clip_240.laion400m_e32/resolve/main/open_clip_model.safetensors"
        in other_weights.requested_paths
    )
    assert printed[0].startswith("bytes 10 ")
    assert printed[-1].startswith("told InvalidWeights")
    assert "does not fit the model; missing: " in printed[-1]
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_download_with_another_sha256_is_deleted(tmp_path: Path, wrong_sha256_hub: Hub) -> None:
    printed = run_fetch(tmp_path, "ViT-B-16-plus-240:laion400m_e32", wrong_sha256_hub.server_port)
    assert "arrived with sha256" in printed[-1]
    assert "the hub says 000000000000" in printed[-1]
    assert not (tmp_path / ".downloads" / "open_clip_model.safetensors").exists()


def test_without_a_network_the_error_names_the_file_and_the_import_command(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        printed = run_fetch(tmp_path, "ViT-B-16-plus-240:laion400m_e32", unused.getsockname()[1])
    assert len(printed) == 1
    assert printed[0].startswith("told ModelUnavailable The hub did not give ViT-B-16-plus-240:laion400m_e32")
    assert "timm/vit_base_patch16_plus_clip_240.laion400m_e32" in printed[0]
    assert (
        "run andon weights import open_clip_model.safetensors --model ViT-B-16-plus-240 --tag laion400m_e32"
        in printed[0]
    )
    assert str(tmp_path) in printed[0]


def test_a_timm_transformer_is_fetched_from_its_own_repository(tmp_path: Path, other_transformer: Hub) -> None:
    printed = run_fetch(tmp_path, "timm/test_vit", other_transformer.server_port)
    assert "/timm/test_vit.r160_in1k/resolve/main/model.safetensors" in other_transformer.requested_paths
    assert printed[0].startswith("bytes 10 ")
    assert printed[-1].startswith("told InvalidWeights")
    assert "as timm's test_vit does not fit the model; missing: blocks.0." in printed[-1]
    assert list(tmp_path.glob("*.safetensors")) == []


def test_without_a_network_the_error_for_a_timm_transformer_names_the_import_command(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        printed = run_fetch(tmp_path, "timm/vit_small_patch14_dinov2.lvd142m", unused.getsockname()[1])
    assert len(printed) == 1
    assert printed[0].startswith("told ModelUnavailable The hub did not give timm/vit_small_patch14_dinov2.lvd142m (")
    assert "get model.safetensors from http://127.0.0.1:" in printed[0]
    assert (
        "run andon weights import model.safetensors --timm vit_small_patch14_dinov2.lvd142m, which puts" in printed[0]
    )
    assert printed[0].endswith(f"it in {tmp_path}.")


def test_a_fetched_transformer_is_stored_with_its_source(tmp_path: Path) -> None:
    from safetensors.torch import save
    from timm import create_model

    for hub in serve_hub(save(dict(create_model("test_vit").state_dict())), file="model.safetensors"):
        printed = run_fetch(tmp_path, "timm/test_vit.r160_in1k", hub.server_port)
        assert printed[-1] == "kept timm/test_vit.r160_in1k timm/test_vit.r160_in1k/model.safetensors"


def test_an_unknown_tag_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelUnavailable, match=r"laion .*ViT-B-16-plus-240.*laion400m_e31, laion400m_e32"):
        hub_source("ViT-B-16-plus-240", "laion")
    with pytest.raises(ModelUnavailable, match="bolt"):
        hub_source("bolt", "")


def test_each_tag_has_its_own_repository() -> None:
    assert hub_source("ViT-B-16-plus-240", "laion400m_e31").repository.endswith(".laion400m_e31")
    assert hub_source("ViT-B-32", "metaclip_fullcc").repository == "timm/vit_base_patch32_clip_224.metaclip_2pt5b"
