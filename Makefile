# Dragoman. `make run` starts the gateway, `make test` checks everything.
# Needs make and Python 3.11 or newer; everything else goes into .venv, pinned by hash.

PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -qq
NEW    := import sys; sys.exit(sys.version_info < (3, 11))
LOCK   := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
          --no-header --no-annotate --no-emit-index-url --no-emit-find-links --group build

.PHONY: help run test lint bench dev lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' Makefile

run: .venv/.run  ## set up once, then start the gateway (reads HOST, PORT and config.yaml)
	@exec $(BIN)/dragoman serve

test: lint  ## lint, types and all tests
	@$(BIN)/python -m pytest -n 3 --dist worksteal

lint: .venv/.dev  ## ruff and mypy only
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: .venv/.dev  ## measure the gateway beside nginx, on this machine only
	@$(BIN)/python -m bench

dev: .venv/.dev  ## set up .venv for development

lock:  ## pin all dependencies anew (needs uv)
	$(LOCK) --all-extras --output-file requirements.lock
	$(LOCK) --constraints requirements.lock --output-file requirements-run.lock

clean:  ## remove the environment and all caches
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: set-up happens once per change of a lock file.
.venv/.run: requirements-run.lock pyproject.toml | $(BIN)/python
	@echo "Installing (once) ..."
	@$(PIP) install --require-hashes -r requirements-run.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing for development (once) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch .venv/.run $@

$(BIN)/python:
	@$(PYTHON) -c '$(NEW)' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "No venv module (on Debian: apt install python3-venv)"; exit 1; }
