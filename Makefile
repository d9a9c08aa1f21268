# `make search` and `make test` set everything up in .venv first; the rest is for those who work on the code.
PYTHON ?= python3
BIN := .venv/bin
export MPLBACKEND := Agg

.PHONY: search test check lint types imports audit clean

search: .venv/ready
	$(BIN)/snn-nas search --config experiments/quickstart.yml $(if $(KEEP),--keep)

test: .venv/ready-dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(PYTEST)

check: lint types imports test

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready-dev
	$(BIN)/mypy

imports: .venv/ready-dev
	$(BIN)/lint-imports

.venv/bin/python:
	$(PYTHON) -m venv .venv

# constraints.txt pins what was tested together; TORCH is installed first so that a CPU build can be chosen.
.venv/ready: .venv/bin/python pyproject.toml constraints.txt neurons/_fused_cpu.c
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
