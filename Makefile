# Everything a fresh clone needs: each target makes .venv when it is missing and installs again
# only when pyproject.toml changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench docs install clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing demiurge and what it stands on; the first time takes a few minutes"
	$(BIN)/python -m pip install --progress-bar on --upgrade-strategy only-if-needed -e '.[train,simulate,demo,dev]'
	@touch $@

demo: $(STAMP)  ## both jobs on real rasters; results in demo/
	$(BIN)/demiurge demo -o demo

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## all claims, measured; results in benchmarks/results/
	$(BIN)/python benchmarks/all.py $(if $(QUICK),--quick)

docs: $(STAMP)  ## HTML in docs/_build/
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build
	@echo "docs/_build/index.html"

clean:
	rm -rf $(VENV) demo docs/_build .mypy_cache .ruff_cache .pytest_cache
