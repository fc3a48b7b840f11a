# Development tasks. Each target creates .venv if it is missing and installs the packages it needs, again
# only if pyproject.toml changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Sets of extras, and a stamp file for each.
EXTRAS_base := report,view
EXTRAS_learn := train,simulate,report
EXTRAS_dev := all,dev
BASE := $(VENV)/.installed-base
LEARN := $(VENV)/.installed-learn
DEV := $(VENV)/.installed-dev

.PHONY: demo learn test lint bench docs scenes bundles install plugin clean

install: $(DEV)

$(VENV)/.installed-%: pyproject.toml
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing demiurge with the extras $(EXTRAS_$*)"
	$(BIN)/python -m pip install -q --progress-bar on --disable-pip-version-check --upgrade-strategy only-if-needed -e '.[$(EXTRAS_$*)]'
	@touch $@

demo: $(BASE)  ## apply the shipped bundles to a stereo scene and a real image; results in demo/
	$(BIN)/demiurge demo -o demo --overwrite

learn: $(LEARN)  ## train both jobs on real terrain in some minutes; results in demo/
	$(BIN)/demiurge demo --learn -o demo --overwrite

# Each process of pytest computes on one core.
test: $(DEV)  ## all tests but slow ones, which ARGS="-m slow" runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(DEV)  ## run all benchmarks; results in benchmarks/results/
	$(BIN)/python benchmarks/all.py $(if $(QUICK),--quick)

docs: $(DEV)  ## HTML in docs/_build/
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build
	@echo "docs/_build/index.html"

plugin:  ## archive of the QGIS plugin; build/demiurge-qgis.zip
	$(PYTHON) tools/qgis_plugin.py

clean:
	rm -rf $(VENV) demo docs/_build .mypy_cache .ruff_cache .pytest_cache

# Train the bundles on simulated scenes with fixed seeds, on one machine without a GPU. The shipped
# `generate` is trained in this way, the shipped `refine` by tools/stream_training on one GPU. The shipped
# `generate-relative` joins three trainings of three minutes on one GPU (tools/join_networks.py).
# SURFACES="FOLDER:SITES:SIZE …" adds scenes from real surfaces: folders with dsm.tif, dtm.tif and
# optionally rgb.tif or grey.tif; CREDIT names their source. PAIRS="FOLDER …" adds prepared scenes of real
# images with heights to `generate`; IMAGE_CREDIT names their source.
SCENES := build/scenes
SIMULATE := $(BIN)/demiurge simulate --vary --jobs 2 --overwrite --style mixed
OTHERS := $(BIN)/demiurge simulate --vary --jobs 2 --overwrite
# With hundreds of scenes, a small share is enough for validation.
TRAIN := $(BIN)/demiurge train --overwrite --no-log --set split.validation=0.08
SHIPPED := src/demiurge/bundles

scenes: $(LEARN)
	@mkdir -p $(SCENES)/stereo $(SCENES)/optical
	$(SIMULATE) -o $(SCENES)/stereo/finest --sites 25 --size 512 --gsd 0.3 --seed 10
	$(SIMULATE) -o $(SCENES)/stereo/half --sites 100 --size 512 --gsd 0.5 --seed 11
	$(SIMULATE) -o $(SCENES)/stereo/one --sites 50 --size 512 --gsd 1 --seed 12
	$(SIMULATE) -o $(SCENES)/stereo/two --sites 25 --size 512 --gsd 2 --seed 14
	$(OTHERS) --style town -o $(SCENES)/stereo/town --sites 40 --size 512 --gsd 0.5 --seed 18
	@for set in "ten 60 10 15" "twenty 20 20 16" "thirty 20 30 17" "more_ten 130 10 25" "more_twenty 45 20 26" "more_thirty 45 30 27"; do \
	  set -- $$set; \
	  $(SIMULATE) --family optical -o $(SCENES)/optical/$$1 --sites $$2 --size 512 --gsd $$3 --seed $$4 || exit 1; \
	done
	@for given in $(SURFACES); do \
	  place=$${given%%:*}; rest=$${given#*:}; \
	  albedo=; for image in grey rgb; do test -e $$place/$$image.tif && albedo="--albedo $$place/$$image.tif"; done; \
	  $(OTHERS) -o $(SCENES)/stereo/on_$$(basename $$place) --surface $$place/dsm.tif --terrain $$place/dtm.tif $$albedo --sites $${rest%%:*} --size $${rest#*:} --seed 13; \
	done

bundles: scenes  ## train the shipped bundles into src/demiurge/bundles; each must pass benchmarks/gates.py
	$(TRAIN) $(SCENES)/stereo/*/site_* $(if $(CREDIT),--credit "$(CREDIT)") -o build/refine.bundle --recipe demiurge
	$(TRAIN) --set split.validation=0.05 $(SCENES)/optical/*/site_* $(PAIRS) $(if $(IMAGE_CREDIT),--credit "$(IMAGE_CREDIT)") -o build/generate.bundle --recipe generate
	$(TRAIN) $(SCENES)/optical/*/site_00* $(PAIRS) $(if $(IMAGE_CREDIT),--credit "$(IMAGE_CREDIT)") -o build/generate-relative.bundle --recipe generate-relative
	@failed=; for name in refine generate generate-relative; do \
	  $(BIN)/python benchmarks/gates.py build/$$name.bundle --install $(SHIPPED)/$$name.bundle || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "not installed:$$failed"; exit 1; }
