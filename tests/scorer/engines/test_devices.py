"""The memory that the scorer finds on the machine."""

import os
from pathlib import Path

import torch

from scorer.engines.devices import memory_bytes
from scorer.recipes.station_normals import references_budget_bytes
from scorer.settings import ScorerSettings

CPU = torch.device("cpu")
MEMORY_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_memory_limit_of_a_container_is_used(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{MEMORY_BYTES // 3}\n", encoding="ascii")
    assert memory_bytes(CPU, [tmp_path / "no such file", limit]) == MEMORY_BYTES // 3


def test_without_a_lower_limit_the_machines_memory_is_used(tmp_path: Path) -> None:
    none, beyond = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    none.write_text("max\n", encoding="ascii")
    beyond.write_text(f"{MEMORY_BYTES * 2}\n", encoding="ascii")
    assert memory_bytes(CPU, [none, beyond]) == MEMORY_BYTES


def test_the_references_budget_is_a_quarter_of_the_memory_unless_configured() -> None:
    assert references_budget_bytes(ScorerSettings(device="cpu")) == memory_bytes(CPU) // 4
    assert references_budget_bytes(ScorerSettings(device="cpu", max_references_bytes=5)) == 5
