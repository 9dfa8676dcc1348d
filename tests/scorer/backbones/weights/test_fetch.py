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

    def __init__(self, content: bytes, says: str, file: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.says, self.file, self.asked = content, says, file, list[str]()


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(self.server.content)

    def _answer(self, body: bytes) -> None:
        self.server.asked.append(self.path)
        found = self.path.endswith(f"/{self.server.file}")
        self.send_response(200 if found else 404)
        if found:
            self.send_header("ETag", f'"{self.server.says}"')
            self.send_header("X-Repo-Commit", "c" * 40)
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.server.content) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def served(content: bytes, says: str | None = None, file: str = "open_clip_model.safetensors") -> Iterator[Hub]:
    hub = Hub(content, says or hashlib.sha256(content).hexdigest(), file)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


def fetched(folder: Path, name: str, port: int) -> list[str]:
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_DISABLE_XET": "1"}
    environment = {k: v for k, v in environment.items() if k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(folder), name], env=environment, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def other_weights() -> Iterator[Hub]:
    """A valid safetensors file that is no ViT-B-16-plus-240."""
    yield from served((2).to_bytes(8, "little") + b"{}")


@pytest.fixture
def other_transformer() -> Iterator[Hub]:
    """A valid safetensors file that is no transformer."""
    yield from served((2).to_bytes(8, "little") + b"{}", file="model.safetensors")


@pytest.fixture
def lying_hub() -> Iterator[Hub]:
    yield from served(b"what was meant is something else", says="0" * 64)


def test_the_repository_is_the_one_of_the_tag_itself(tmp_path: Path, other_weights: Hub) -> None:
    told = fetched(tmp_path, "ViT-B-16-plus-240:laion400m_e32", other_weights.server_port)
    assert (
        "/timm/vit_base_patch16_plus_clip_240.laion400m_e32/resolve/main/open_clip_model.safetensors"
        in other_weights.asked
    )
    assert told[0].startswith("bytes 10 ")
    assert told[-1].startswith("told InvalidWeights")
    assert "does not fit the model; missing: " in told[-1]
    assert list(tmp_path.glob("*.safetensors")) == []


def test_what_arrives_with_another_sha256_is_thrown_away(tmp_path: Path, lying_hub: Hub) -> None:
    told = fetched(tmp_path, "ViT-B-16-plus-240:laion400m_e32", lying_hub.server_port)
    assert "arrived with sha256" in told[-1]
    assert "the hub says 000000000000" in told[-1]
    assert not (tmp_path / ".downloads" / "open_clip_model.safetensors").exists()


def test_without_a_network_one_sentence_says_which_file_to_bring_and_what_to_run(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        told = fetched(tmp_path, "ViT-B-16-plus-240:laion400m_e32", unused.getsockname()[1])
    assert len(told) == 1
    assert told[0].startswith("told ModelUnavailable The hub did not give ViT-B-16-plus-240:laion400m_e32")
    assert "timm/vit_base_patch16_plus_clip_240.laion400m_e32" in told[0]
    assert (
        "run andon weights import open_clip_model.safetensors --model ViT-B-16-plus-240 --tag laion400m_e32" in told[0]
    )
    assert str(tmp_path) in told[0]


def test_a_transformer_of_timms_comes_from_its_own_repository(tmp_path: Path, other_transformer: Hub) -> None:
    told = fetched(tmp_path, "timm/test_vit", other_transformer.server_port)
    assert "/timm/test_vit.r160_in1k/resolve/main/model.safetensors" in other_transformer.asked
    assert told[0].startswith("bytes 10 ")
    assert told[-1].startswith("told InvalidWeights")
    assert "as timm's test_vit does not fit the model; missing: blocks.0." in told[-1]
    assert list(tmp_path.glob("*.safetensors")) == []


def test_without_a_network_a_transformer_of_timms_has_its_way_out_too(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        told = fetched(tmp_path, "timm/vit_small_patch14_dinov2.lvd142m", unused.getsockname()[1])
    assert len(told) == 1
    assert told[0].startswith("told ModelUnavailable The hub did not give timm/vit_small_patch14_dinov2.lvd142m (")
    assert "get model.safetensors from http://127.0.0.1:" in told[0]
    assert "run andon weights import model.safetensors --timm vit_small_patch14_dinov2.lvd142m, which puts" in told[0]
    assert told[0].endswith(f"it in {tmp_path}.")


def test_a_whole_transformer_is_kept_with_where_it_came_from(tmp_path: Path) -> None:
    from safetensors.torch import save
    from timm import create_model

    for hub in served(save(dict(create_model("test_vit").state_dict())), file="model.safetensors"):
        told = fetched(tmp_path, "timm/test_vit.r160_in1k", hub.server_port)
        assert told[-1] == "kept timm/test_vit.r160_in1k timm/test_vit.r160_in1k/model.safetensors"


def test_an_unknown_tag_is_told_with_the_tags_there_are() -> None:
    with pytest.raises(
        ModelUnavailable, match="no weights laion for ViT-B-16-plus-240; it has laion400m_e31, laion400m_e32"
    ):
        hub_source("ViT-B-16-plus-240", "laion")
    with pytest.raises(ModelUnavailable, match="no weights for bolt"):
        hub_source("bolt", "")


def test_a_tag_of_its_own_name_keeps_its_repository() -> None:
    assert hub_source("ViT-B-16-plus-240", "laion400m_e31").repository.endswith(".laion400m_e31")
    assert hub_source("ViT-B-32", "metaclip_fullcc").repository == "timm/vit_base_patch32_clip_224.metaclip_2pt5b"
