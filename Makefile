# Every target creates .venv when it is missing. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
FRAMES ?=
PARTS ?= 1
TESTS_AT_ONCE ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo quick test coverage check format lock kafka parts clean

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

$(BIN)/uv:
	@echo "andon: creating .venv"
	@$(PYTHON) -c 'import sys; sys.exit("andon needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make demo PYTHON=python3.12") if sys.version_info < (3, 11) else None'
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

demo: .venv/runtime.stamp  ## Run a simulated line with its dashboard (FRAMES=300: without it, and stop by itself)
	@$(BIN)/andon demo $(if $(FRAMES),--headless --frames $(FRAMES))

PYTEST := $(BIN)/python -m pytest --numprocesses $(TESTS_AT_ONCE) --dist worksteal

QUICK := tests/alerts tests/andon/services tests/andon/test_docs_generator.py tests/andon/test_good_images.py \
	tests/andon/test_logging_setup.py tests/andon/test_public_api.py tests/andon/test_settings.py tests/dashboard/charts \
	tests/dashboard/components tests/docs tests/foundation tests/imaging tests/ingest/producer tests/ingest/sources \
	tests/ingest/test_capture.py tests/ingest/test_schema.py tests/outputs tests/scorer/distances tests/scorer/evaluation \
	tests/scorer/imaging tests/storage/actions tests/storage/alerts tests/storage/auth tests/storage/blobs \
	tests/storage/line tests/storage/outputs tests/storage/rollups

quick: .venv/dev.stamp  ## Run the tests that need no service, no network of weights and no browser: under two minutes
	$(PYTEST) $(QUICK) -m "not (slow or kafka or postgres or browser or rtsp or data)"

test: .venv/dev.stamp parts  ## Run every test against real services: Kafka, PostgreSQL, Chromium, a camera
	$(PYTEST)

coverage: .venv/dev.stamp parts  ## Run every test as `make test` does, and report the statements that none runs
	$(PYTEST) --cov --cov-report=term:skip-covered

check: .venv/dev.stamp  ## Check format, lint, types, architecture and the documentation; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: .venv/dev.stamp  ## Format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock: | $(BIN)/uv  ## Pin every package by hash, for every platform: everything, the core alone, and the development tools
	$(COMPILE) --extra all pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock pyproject.toml -o requirements-core.lock
	$(COMPILE) --extra all --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

kafka:  ## Fetch a real Apache Kafka into .kafka (Java 17 and Maven)
	@mvn --batch-mode --quiet --file deploy/kafka/pom.xml process-resources

parts:  ## Install the services that tests use, as root through apt-get (PARTS=0 installs nothing)
	@if [ "$(PARTS)" = 1 ]; then testing/install; fi

clean:  ## Delete the demo's data; packages and Kafka stay
	rm -rf .andon
