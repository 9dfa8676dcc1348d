"""anomalib in an environment and a process of its own, which answers one request at a time."""

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
"""The file in the environment that holds the requirements it was made with."""

QUIET_ENVIRONMENT = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
"""Suppresses progress bars and warnings of its libraries."""


class Anomalib:
    """The running process of ``anomalib_worker.py``."""

    def __init__(self, python: Path, folder: Path, threads: int) -> None:
        """Start it; it reads weights and images from `folder`."""
        self._process = subprocess.Popen(
            [python, SCRIPT, folder, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | QUIET_ENVIRONMENT,
        )

    def __enter__(self) -> "Anomalib":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; raise RuntimeError if the process ended, with its error on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"anomalib's process ended with code {self._process.wait()}; its error is above.")
        response: dict[str, Any] = json.loads(line)
        return response


def prepare_environment(folder: Path) -> Path:
    """Return anomalib's Python; its environment is made with uv if `folder` lacks these requirements."""
    python, ready, requirements = folder.absolute() / "bin" / "python", folder / READY, REQUIREMENTS.read_text()
    if not ready.is_file() or ready.read_text() != requirements:
        print(f"making anomalib's environment in {folder}", flush=True)
        subprocess.run(["uv", "venv", "--allow-existing", "--python", sys.executable, folder], check=True)
        subprocess.run(["uv", "pip", "install", "--python", python, "--requirement", REQUIREMENTS], check=True)
        ready.write_text(requirements)
    return python
