# `make demo` and `make test` set up all they need; `make install` sets up .venv alone.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test install lint torture fuzz same-bits outdated clean
.DELETE_ON_ERROR:

$(VENV)/installed: requirements.txt requirements-extras.txt requirements-test.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements-test.txt
	touch $@

install: $(VENV)/installed

# From drawn faces to a trained generator, its film and its report, in minutes on a CPU. Run again,
# it goes on where it was.
demo: install
	mkdir -p demo
	test -d demo/dataset || $(BIN)/python -m datasets prepare drawn:4000 demo/dataset --resolution 32
	$(BIN)/python train.py demo/dataset demo/run --preset modern --kimg 48
	$(BIN)/python -m tools generate demo/run demo/faces.png --grid 12x6 --zoom 3 --overwrite
	$(BIN)/python -m tools video demo/run demo/film.mp4 --grid 4x2 --seconds 10 --fps 30 --overwrite
	$(BIN)/python -m tools neighbours demo/run demo/dataset demo/report --images 200 --overwrite
	$(BIN)/python -m tools video networks/portraits-64.safetensors demo/portraits.mp4 --grid 6x3 \
		--seconds 10 --fps 30 --overwrite
	@echo
	@echo "New faces:                        demo/faces.png"
	@echo "A film of them:                   demo/film.mp4"
	@echo "Of a network from portraits:      demo/portraits.mp4"
	@echo "Are they copies? Open in browser: demo/report/report.html"
	@echo "The network itself:               demo/run/generator.safetensors"

test: install lint
	$(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Faults by the hundred, let happen to trainings that must end as if nothing had happened.
FAULTS ?= 200
SEED ?= 0
torture: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture --faults $(FAULTS) --seed $(SEED)

# Damaged and hostile files for all readers, for as long as SECONDS says; exits 1 on a finding.
SECONDS ?= 600
fuzz: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzzing --seconds $(SECONDS)

# Tiny runs of all kinds by the code of BASE and by that of the working tree: the same files?
# CONTINUED=--continued: runs that BASE has begun, continued by both.
BASE ?= HEAD
CONTINUED ?=
same-bits: install
	$(BIN)/python -m tests.same_bits --base $(BASE) $(CONTINUED)

# Are newer packages out than those that are pinned, and is anything bad known of these?
outdated: install
	$(BIN)/python -m tools.dependencies

clean:
	rm -rf demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
