"""The script that Streamlit runs, and what it leaves to other processes and to other tests."""

import multiprocessing
import os
import sys

import pytest
from streamlit.testing.v1 import AppTest

from testing.streamlit_app import MAIN, TIMEOUT_S
from tests.dashboard.page_harness import opened
from tests.dashboard.seeding import SeededStorage


def test_a_process_started_after_a_page_has_run_imports_its_script_and_draws_nothing(
    line: SeededStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", line.database_url)
    monkeypatch.setenv("ANDON_STORAGE__IMAGES_URL", line.images_url)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # put back at the end
    assert not AppTest.from_file(MAIN, default_timeout=TIMEOUT_S).run().exception
    assert sys.modules["__main__"].__file__ == str(MAIN)  # which the process imports under another name
    process = multiprocessing.get_context("spawn").Process(target=os.getcwd)
    process.start()
    process.join(2 * TIMEOUT_S)
    assert process.exitcode == 0


def test_a_page_that_has_run_leaves_the_main_module_as_it_was(
    line: SeededStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = sys.modules["__main__"]
    opened(line, monkeypatch, "settings")
    assert sys.modules["__main__"] is main
