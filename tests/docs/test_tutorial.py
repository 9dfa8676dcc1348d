"""The tutorial's commands work in its order, and end with the results that it describes."""

import json
import re
import shlex
from pathlib import Path

import pytest

from testing.command_line import Andon

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-station.md"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tutorial_inspects_its_simulated_bricks(andon: Andon) -> None:
    steps = PAGE.read_text(encoding="utf-8").partition("## 2. ")[2].partition("andon dashboard")[0]
    for language, code in re.findall(r"```(\w+)\n(.*?)```", steps, re.DOTALL):
        if language == "python":
            exec(compile(code, "good_bricks.py", "exec"), {})
            continue
        for line in code.splitlines():
            program, *words = shlex.split(line)
            assert program == "andon"
            finished = andon(*words)
            assert finished.code == 0, finished.err
    verdicts = json.loads(andon("verdicts", "bricks", "--limit", 100, "--json").out)
    assert len(verdicts) == 60
    flagged = [verdict for verdict in verdicts if verdict["decision"] == "flag"]
    assert flagged
    assert [verdict for verdict in flagged if verdict["truth"] == "good"] == []
