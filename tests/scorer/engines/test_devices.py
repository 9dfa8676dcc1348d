"""The memory that the scorer finds on the machine."""

import os
from pathlib import Path

import torch

from scorer.engines.devices import memory_bytes
from scorer.recipes.loader import references_budget_bytes
from scorer.settings import ScorerSettings

CPU = torch.device("cpu")
WHOLE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_container_has_the_memory_that_it_may_use(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{WHOLE // 3}\n", encoding="ascii")
    assert memory_bytes(CPU, [tmp_path / "no such file", limit]) == WHOLE // 3


def test_no_limit_or_one_beyond_the_machine_leaves_all_of_its_memory(tmp_path: Path) -> None:
    none, beyond = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    none.write_text("max\n", encoding="ascii")
    beyond.write_text(f"{WHOLE * 2}\n", encoding="ascii")
    assert memory_bytes(CPU, [none, beyond]) == WHOLE


def test_references_take_a_quarter_of_the_memory_unless_the_settings_say_how_much() -> None:
    assert references_budget_bytes(ScorerSettings(device="cpu")) == memory_bytes(CPU) // 4
    assert references_budget_bytes(ScorerSettings(device="cpu", max_references_bytes=5)) == 5
