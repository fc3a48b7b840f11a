# Everything a fresh clone needs: each target makes .venv when it is missing and installs again
# only when pyproject.toml changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench docs bundles install clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing demiurge and what it stands on; the first time takes a few minutes"
	$(BIN)/python -m pip install --progress-bar on --upgrade-strategy only-if-needed -e '.[train,simulate,demo,cluster,onnxruntime,dev]'
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

# The bundle that ships, from scenes with fixed seeds; retraining is this one command. Real surfaces
# join in with SURFACES="FOLDER …", each with dsm.tif, dtm.tif and rgb.tif, and CREDIT="whose".
bundles: $(STAMP)
	@mkdir -p build/scenes
	$(BIN)/demiurge simulate -o build/scenes/half --overwrite --style mixed --vary --sites 70 --size 512 --gsd 0.5 --seed 11 --jobs 2
	$(BIN)/demiurge simulate -o build/scenes/one --overwrite --style mixed --vary --sites 35 --size 512 --gsd 1 --seed 12 --jobs 2
	@for place in $(SURFACES); do \
	  $(BIN)/demiurge simulate -o build/scenes/on_$$(basename $$place) --overwrite --vary --surface $$place/dsm.tif --terrain $$place/dtm.tif --albedo $$place/rgb.tif --sites 40 --size 320 --seed 13 --jobs 2; \
	done
	$(BIN)/demiurge train build/scenes/*/site_* $(if $(CREDIT),--credit "$(CREDIT)") --recipe refine-small -o src/demiurge/bundles/refine.bundle --overwrite
