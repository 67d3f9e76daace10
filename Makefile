# make up      sets everything up and runs Flute with a demo       make test    sets up and runs all checks and tests
# make setup   only sets up (.venv)                                make check   only the checks that run nothing
# make bench   measures how fast it is                     make chaos   kills parts while mail is under way
# make screenshots   takes the pictures that the README shows (needs chromium)
# make fuzz    asks the API everything that its document allows and forbids, for some minutes
# In a hurry, with cores to spare: make test ARGS='-n auto --dist loadfile --no-loadscope-reorder'

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
# Bound to this folder: an environment that was moved or copied is made anew.
READY := $(VENV)/.ready-$(shell printf %s '$(CURDIR)' | cksum | cut -d' ' -f1)
ARGS ?=

.PHONY: setup up test check bench chaos fuzz screenshots clean
.SILENT:

setup: $(READY)

$(READY): setup.cfg pyproject.toml
	found=; for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Flute needs Python 3.11 or newer, and none is on the PATH. On Debian: apt install python3 python3-venv" >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$found cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; \
	fi; \
	if [ -n "$$(ls $(VENV)/.ready-* 2>/dev/null)" ] && [ -e $(READY) ] && $(PYTHON) -c '' 2>/dev/null; then \
	  echo "setup.cfg has changed: bringing $(VENV) up to date"; \
	else \
	  echo "making $(VENV) with $$($$found --version); this takes a minute, once"; \
	  $$found -m venv --clear $(VENV); \
	fi
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]' || { \
	  echo "The dependencies could not be installed; pip says why above. Is there a way to a package index?" >&2; exit 1; }
	touch $(READY)

up: setup
	exec $(PYTHON) -m flute_server.cli up --demo $(ARGS)

test: check
	echo "== tests"
	$(PYTHON) -m pytest $(ARGS)

check: setup
	echo "== lint"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	echo "== types"
	$(BIN)/mypy
	echo "== import arrows"
	$(BIN)/lint-imports
	echo "== contract"
	$(BIN)/buf lint proto
	fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTHON) -c 'import pathlib, sys; sys.path.insert(0, "proto"); import generate; \
	  generate.generate(pathlib.Path(sys.argv[1]))' "$$fresh" && \
	diff -r -x __pycache__ "$$fresh" proto/gen || { \
	  echo "proto/gen is not what proto/flute says: run $(PYTHON) proto/generate.py and commit the result" >&2; exit 1; }

bench: setup
	$(PYTHON) -m tests.bench $(ARGS)

chaos: setup
	$(PYTHON) -m tests.chaos $(ARGS)

fuzz: setup
	FLUTE_FUZZ_EXAMPLES=$${FLUTE_FUZZ_EXAMPLES:-500} $(PYTHON) -m pytest tests/fuzz $(ARGS)

screenshots: setup
	$(PYTHON) -m tests.browser.screenshots $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
