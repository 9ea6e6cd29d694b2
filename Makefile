# The commands that the README, pre-commit and CI use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
ARGS ?=

export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export BENTOML_DO_NOT_TRACK := True
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-slow soak lint format docs bench lock up down clean

help:  ## Show this help.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# The lock files list every package, so pip resolves nothing: it downloads the listed packages and checks each hash.
# Without --no-compile the installation takes twice as long; Python compiles modules when it first imports them.
LOCKED := --quiet --disable-pip-version-check --progress-bar on --no-compile --no-deps --require-hashes

# The extras that everybody gets, and the image: what builds the project, and the libraries of queues and clouds.
INSTALLED := build aws gcp kafka nats

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Forewarn needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@echo "Installing the locked packages into $(VENV) (about 1.5 GB, once)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(LOCKED) -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	$(BIN)/python -m pip install $(LOCKED) -r requirements-dev.lock
	@touch $@

# Compiling some modules prints warnings, and in tests a warning is an error. So all modules that a test may import are
# compiled before: all except the tests of the libraries themselves. The checks of `make lint` need none of it.
$(VENV)/compiled: $(VENV)/installed-dev
	@$(BIN)/python -W ignore -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib
	@touch $@

install: $(VENV)/installed  ## Install the packages of the platform into .venv.

install-dev: $(VENV)/compiled  ## Install the packages for development as well.

demo: install  ## Simulate a fleet, run the main job, start the service. ARGS=--exit stops at the end.
	$(BIN)/forewarn demo $(ARGS)

test: install-dev  ## Run all tests except the slow ones. ARGS goes to pytest.
	$(BIN)/python -m pytest -m "not slow and not soak" -n 2 $(ARGS)

test-slow: install-dev  ## Run the slow tests, which train on Dask and Ray. ARGS goes to pytest.
	$(BIN)/python -m pytest -m slow $(ARGS)

soak: install-dev  ## Run for hours: tests marked soak, property tests with 10,000 examples, 100 kills. ARGS goes to pytest.
	$(BIN)/python -m pytest -m "soak or many_examples" --hypothesis-profile=soak --timeout=7200 $(ARGS)

lint: $(VENV)/installed-dev  ## Check style, types and the layers of packages.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove caches. Data and models stay.
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

lock:  ## Update both lock files from pyproject.toml (needs uv).
	uv pip compile pyproject.toml $(INSTALLED:%=--extra %) --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --all-extras --constraints requirements.lock --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements-dev.lock

up:  ## Start the whole platform with docker compose.
	$(PYTHON) deploy/environment.py
	docker compose up --detach --build --wait

down:  ## Stop the platform. The volumes stay.
	docker compose down

bench: install-dev  ## Measure speed and model quality; update docs/benchmarks.md. ARGS names single benchmarks.
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

docs: $(VENV)/installed-dev  ## Build the documentation into build/site.
	$(BIN)/mkdocs build --strict
