"""The size of an installation: the core alone, and with each extra.

``python -m benchmarks.install_sizes [EXTRA ...]`` installs the locked packages into an empty virtual environment for
each, from uv's cache or the package index, and prints what its files take on disk.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")


def measure_bytes(extra: str | None, folder: Path) -> int:
    """Install the core, with one extra if it is given, into `folder`, and return the bytes of its files."""
    environment, requirements = folder / "venv", folder / "requirements.txt"
    _run(UV, "venv", "--quiet", environment)
    compiled = (UV, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes")
    options = () if extra is None else ("--extra", extra)
    _run(
        *(*compiled, "--no-emit-index-url", *options, "-c", ROOT / "requirements.lock"),
        *(ROOT / "pyproject.toml", "-o", requirements),
    )
    install = (UV, "pip", "install", "--quiet", "--link-mode", "hardlink", "--python", environment / "bin" / "python")
    _run(*install, "--require-hashes", "-r", requirements)
    return sum(file.stat().st_size for file in environment.rglob("*") if file.is_file() and not file.is_symlink())


def extras() -> list[str]:
    """Return the extras that pyproject.toml defines for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [name for name in project["optional-dependencies"] if name != "dev"]


def _run(*arguments: object) -> None:
    subprocess.run([str(argument) for argument in arguments], check=True, cwd=ROOT)


def main() -> None:
    """Print a Markdown table of the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="by default the core and every extra")
    names = parser.parse_args().extras or [None, *extras()]
    print("| installed | MB |\n|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            size = measure_bytes(name, Path(folder))
        print(f"| {'the core' if name is None else f'the core and `{name}`'} | {size / 1e6:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
