# The commands of the README, of pre-commit and of CI: one definition each.
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
.PHONY: help install install-dev demo test lint format bench lock up down clean

help:  ## Show this help.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# The locks are complete, so nothing is resolved: pip fetches what is listed and checks every hash. Compiling all
# modules would take as long again; Python compiles those that are used.
LOCKED := --quiet --disable-pip-version-check --progress-bar on --no-compile --no-deps --require-hashes

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Forewarn needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@echo "Installing the locked packages into $(VENV) (about 1.5 GB, once)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(LOCKED) -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	$(BIN)/python -m pip install $(LOCKED) -r requirements-dev.lock
	@# In the tests a warning is an error, and compiling some of these modules warns.
	@$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib
	@touch $@

install: $(VENV)/installed  ## Install what running needs into .venv.

install-dev: $(VENV)/installed-dev  ## Install what developing needs as well.

demo: install  ## Simulate a fleet, run the main job on it, serve it. ARGS=--exit stops by itself.
	$(BIN)/forewarn demo $(ARGS)

test: install-dev  ## Run every test but the slow ones. ARGS goes to pytest.
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

lint: install-dev  ## Check style, types and layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev  ## Put the code into the house style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove caches; the data and the models stay.
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

lock:  ## Resolve the ranges of pyproject.toml anew into the two lock files (needs uv).
	uv pip compile pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --all-extras --constraints requirements.lock --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements-dev.lock

up:  ## Start the whole platform with docker compose: TimescaleDB, Redis, MLflow, Prefect, service, Grafana.
	$(PYTHON) deploy/environment.py
	docker compose up --detach --build --wait

down:  ## Stop it; the volumes stay.
	docker compose down

bench: install-dev  ## Measure speed and model quality, into docs/benchmarks.md. ARGS names single benchmarks.
	$(BIN)/python tests/benchmarks/run.py $(ARGS)
