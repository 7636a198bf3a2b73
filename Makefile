# make repro: from a fresh clone to published models.  make test: linters, types and all tests.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two clean runs are compared byte for byte: nothing may depend on the hash seed of a process
export PYTHONHASHSEED := 0

.PHONY: repro test lint types experiments setup lock clean

repro: setup
	dvc repro
	@python stages/summary.py

test: lint types
	pytest --numprocesses 2 --dist loadgroup

lint: setup
	ruff check .
	ruff format --check .

types: setup
	mypy

# What the pipeline measured, at this revision and earlier ones: a part of the web page
experiments: setup
	tinycats experiments --out frontend/public/experiments

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# Exact versions of what is installed now, without a word on where it came from
lock:
	pip freeze --exclude-editable --exclude tinycats | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf .venv .tinycats
