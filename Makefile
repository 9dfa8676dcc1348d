# `make demo` and `make test` do all set-up themselves. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
FRAMES ?=
PARTS ?= 1
TESTS_AT_ONCE ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check format lock kafka parts clean

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

$(BIN)/uv:
	@echo "andon: making .venv"
	@$(PYTHON) -c 'import sys; sys.exit("andon needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which: make demo PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv || { echo "andon: this Python can't make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/runtime.stamp: requirements.lock pyproject.toml | $(BIN)/uv
	@echo "andon: installing packages, pinned by hash (torch is the largest by far; this takes a while on a slow line)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/runtime.stamp
	@echo "andon: installing the tools that check and test"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

demo: .venv/runtime.stamp  ## Run a simulated line, end to end, with the dashboard (FRAMES=300: without it, and end)
	@$(BIN)/andon demo $(if $(FRAMES),--headless --frames $(FRAMES))

test: .venv/dev.stamp parts  ## Run every test against the real parts: Kafka, PostgreSQL, Chromium, a camera
	$(BIN)/python -m pytest --numprocesses $(TESTS_AT_ONCE) --dist loadfile

check: .venv/dev.stamp  ## Format, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: .venv/dev.stamp  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock: | $(BIN)/uv  ## Pin every package by hash, for every platform: everything, the core alone, and the development tools
	$(COMPILE) --extra all pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock pyproject.toml -o requirements-core.lock
	$(COMPILE) --extra all --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

kafka:  ## Fetch a real Apache Kafka into .kafka (Java 17 and Maven)
	@mvn --batch-mode --quiet --file deploy/kafka/pom.xml process-resources

parts:  ## Install the real parts that tests use, where this machine lets us (PARTS=0 leaves it alone)
	@if [ "$(PARTS)" = 1 ]; then testing/install; fi

clean:  ## Forget the demo's data; packages and Kafka stay
	rm -rf .andon
