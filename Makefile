# `make train` and `make test` do all the set-up on a fresh machine: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest --dist worksteal
# the oldest Python, and the lowest versions that pyproject.toml allows
FLOORS := .venv-floors
OLDEST ?= 3.11
# tests at a time, on a core each; slow ones that measure time or need all cores are marked `alone` and follow
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help install train test test-all test-nightly test-floors check-floors lint types docs notebooks audit check gpu-check peers dashboards gallery clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12 | sed 's/^/make /'
	@echo && $(PYTHON) -m gender_lightning --help

install: $(INSTALLED)  ## create .venv and install the project with its development tools

train: $(INSTALLED)  ## train the ResNet50 on the embedded synthetic faces, test the best checkpoint
	$(BIN)/gender-lightning train $(ARGS)

test: $(INSTALLED)  ## the quick tests
	$(PYTEST) -n $(WORKERS) $(ARGS)

test-all: $(INSTALLED)  ## the slow tests too, as CI does
	$(PYTEST) -m "not alone and not nightly" -n $(WORKERS) --durations=60 --durations-min=4 $(ARGS)
	$(PYTEST) -m "alone and not nightly" --durations=10 $(ARGS) || [ $$? -eq 5 ]  # 5: none of them was asked for

test-nightly: $(INSTALLED)  ## what CI has no time for: every page of the manual, every model, every case of the fuzz tests
	$(PYTEST) -m nightly -n $(WORKERS) --durations=20 $(ARGS)

test-floors: $(FLOORS)/.installed  ## the quick tests with the lowest version of every dependency
	$(FLOORS)/bin/python -m pytest $(ARGS)

check-floors: $(FLOORS)/.installed  ## a short form of it: a training, an evaluation and a prediction, as CI does
	rm -rf runs/floors
	$(FLOORS)/bin/gender-lightning train model=timm model.name=timm/test_resnet logger=csv trainer.max_epochs=1 \
		data.root=runs/floors/faces 'data.sizes={train:64,valid:32,test:32}' data.image_size=32 run_dir=runs/floors/run
	$(FLOORS)/bin/gender-lightning evaluate checkpoint=runs/floors/run corruptions=none resamples=200 output=runs/floors/page
	$(FLOORS)/bin/gender-lightning predict checkpoint=runs/floors/run input=runs/floors/faces/img_align_celeba \
		min_confidence=0.5 output=runs/floors/faces.csv

lint: $(INSTALLED)  ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## mypy, strict
	$(BIN)/mypy

docs: $(INSTALLED)  ## build the manual, build/docs/index.html, without a network; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going docs build/docs

notebooks: $(INSTALLED)  ## run the notebooks again and keep their outputs
	$(BIN)/jupyter execute --inplace --timeout=-1 $(sort $(wildcard notebooks/*.ipynb))

audit: $(INSTALLED)  ## known security holes of what is installed; asks a server
	$(BIN)/python -m pip install --quiet 'pip-audit>=2.7'
	$(BIN)/pip-audit --local --skip-editable

check: lint types test  ## everything a commit should pass

gpu-check: $(INSTALLED)  ## measure what needs a GPU, within ten minutes, into gpu-check.json
	$(BIN)/python -m gender_lightning.benchmarks.gpu_check $(ARGS)

peers: $(INSTALLED)  ## other tools beside a run: make peers ARGS="--name mine --checkpoint RUN data=folder data.root=FACES"
	$(BIN)/python -m gender_lightning.benchmarks.peers $(ARGS)

dashboards: $(INSTALLED)  ## save a view with charts in W&B: make dashboards ARGS="TEAM --project PROJECT"
	$(BIN)/python -m gender_lightning.training.logs.dashboard $(ARGS)

gallery: $(INSTALLED)  ## make the pictures of the manual's gallery again; needs Chromium
	$(BIN)/python docs/gallery/pictures.py $(ARGS)

clean:  ## remove the environment and caches; runs/ and data/ stay
	rm -rf $(VENV) $(FLOORS) .pytest_cache .mypy_cache .ruff_cache

# uv needs a tenth of pip's time. It does not read pip.conf: where only that names a registry, pip follows.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11. Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[dev]' || \
		$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(FLOORS)/.installed: pyproject.toml $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(OLDEST) $(FLOORS)
	$(BIN)/uv pip install --quiet --python $(FLOORS)/bin/python --resolution lowest-direct --editable '.[dev]'
	touch $@
