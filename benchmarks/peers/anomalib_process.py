"""anomalib in an environment and a process of its own, which `benchmarks.peers.comparison` asks one thing at a time."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
SCRIPT = Path(__file__).with_name("anomalib_worker.py")

READY = "ready"
"""A file in the environment that says which requirements it has."""

QUIETLY = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
"""Its libraries' progress bars and remarks say nothing here."""


class Anomalib:
    """`benchmarks/peers/anomalib_worker.py`, running; folder: where it finds weights and pictures."""

    def __init__(self, python: Path, folder: Path, threads: int) -> None:
        self._process = subprocess.Popen(
            [python, SCRIPT, folder, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | QUIETLY,
        )

    def __enter__(self) -> "Anomalib":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises RuntimeError where it ended instead of answering; its own words are on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"anomalib's process ended with code {self._process.wait()}; its error stands above.")
        answered: dict[str, Any] = json.loads(line)
        return answered


def environment(folder: Path) -> Path:
    """anomalib's Python, in an environment made with uv where `folder` has none of these requirements."""
    python, ready, wanted = folder.absolute() / "bin" / "python", folder / READY, REQUIREMENTS.read_text()
    if not ready.is_file() or ready.read_text() != wanted:
        print(f"making anomalib's environment in {folder}", flush=True)
        subprocess.run(["uv", "venv", "--allow-existing", "--python", sys.executable, folder], check=True)
        subprocess.run(["uv", "pip", "install", "--python", python, "--requirement", REQUIREMENTS], check=True)
        ready.write_text(wanted)
    return python
