# Everything a fresh clone needs: each target makes .venv when it is missing and installs again
# only when pyproject.toml changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench docs scenes bundles install clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing demiurge and what it stands on; the first time takes a few minutes"
	$(BIN)/python -m pip install --progress-bar on --upgrade-strategy only-if-needed -e '.[train,simulate,demo,cluster,onnxruntime,align,dev]'
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

# The bundles that ship, from scenes with fixed seeds; retraining is this one command. Real surfaces
# join in with SURFACES="FOLDER:TAKES:SIZE …", folders with dsm.tif, dtm.tif and perhaps rgb.tif,
# and CREDIT="whose".
SCENES := build/scenes
SIMULATE := $(BIN)/demiurge simulate --vary --jobs 2 --overwrite --style mixed
OTHERS := $(BIN)/demiurge simulate --vary --jobs 2 --overwrite
# Among hundreds of scenes a few are enough to validate.
TRAIN := $(BIN)/demiurge train --overwrite --no-log --set split.validation=0.08
SHIPPED := src/demiurge/bundles

scenes: $(STAMP)
	@mkdir -p $(SCENES)/stereo $(SCENES)/optical
	$(SIMULATE) -o $(SCENES)/stereo/finest --sites 25 --size 512 --gsd 0.3 --seed 10
	$(SIMULATE) -o $(SCENES)/stereo/half --sites 100 --size 512 --gsd 0.5 --seed 11
	$(SIMULATE) -o $(SCENES)/stereo/one --sites 50 --size 512 --gsd 1 --seed 12
	$(SIMULATE) -o $(SCENES)/stereo/two --sites 25 --size 512 --gsd 2 --seed 14
	$(OTHERS) --style town -o $(SCENES)/stereo/town --sites 40 --size 512 --gsd 0.5 --seed 18
	$(SIMULATE) --family optical -o $(SCENES)/optical/ten --sites 60 --size 512 --gsd 10 --seed 15
	$(SIMULATE) --family optical -o $(SCENES)/optical/twenty --sites 20 --size 512 --gsd 20 --seed 16
	$(SIMULATE) --family optical -o $(SCENES)/optical/thirty --sites 20 --size 512 --gsd 30 --seed 17
	@for given in $(SURFACES); do \
	  place=$${given%%:*}; rest=$${given#*:}; \
	  albedo=; test -e $$place/rgb.tif && albedo="--albedo $$place/rgb.tif"; \
	  $(OTHERS) -o $(SCENES)/stereo/on_$$(basename $$place) --surface $$place/dsm.tif --terrain $$place/dtm.tif $$albedo --sites $${rest%%:*} --size $${rest#*:} --seed 13; \
	done

bundles: scenes  # those that ship; `generate.bundle` waits for real terrain in its training
	$(TRAIN) $(SCENES)/stereo/*/site_* $(if $(CREDIT),--credit "$(CREDIT)") -o $(SHIPPED)/refine.bundle --recipe demiurge
	$(TRAIN) $(SCENES)/stereo/*/site_* $(if $(CREDIT),--credit "$(CREDIT)") -o $(SHIPPED)/refine-fast.bundle --recipe refine-fast
	$(TRAIN) $(SCENES)/optical/*/site_* -o $(SHIPPED)/generate.bundle --recipe generate
