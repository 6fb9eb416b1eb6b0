# `make demo` and `make test` set up all they need; `make install` sets up .venv alone.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test install lint clean
.DELETE_ON_ERROR:

$(VENV)/installed: requirements.txt requirements-test.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements-test.txt
	touch $@

install: $(VENV)/installed

test: install lint
	$(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
