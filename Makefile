# Needs Python 3.11 or newer, git and make; everything else is set up here, in .venv, from the lock files.
# ARGS goes to the command: make test ARGS="-k settles -x"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PACKAGES := domain store actors testing scenarios host
UV ?= uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url pyproject.toml
ORDERS ?= 20000
IMAGES ?= 20000
CASES ?= 10000
KILLS ?= 200
SEED ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types layers format coverage planted mutants bench peers crash powerloss rot lock clean FORCE
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## run the demonstration
	@$(BIN)/tallystick demo $(ARGS)

test: $(VENV)/.tools $(VENV)/.installed ## run the tests
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

check: lint types layers ## run the linters and the type checkers

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.tools $(VENV)/.installed
	$(BIN)/mypy --package tallystick
	$(BIN)/mypy tests benchmarks
	$(BIN)/pyright

layers: $(VENV)/.tools $(VENV)/.installed
	$(BIN)/lint-imports

format: $(VENV)/.tools ## put the code into form, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(VENV)/.tools $(VENV)/.installed ## run the tests and report the branches of domain/, store/ and actors/ that they miss
	@$(BIN)/python -m pytest --cov $(ARGS)

planted: $(VENV)/.tools $(VENV)/.installed ## plant every bug of the list in a copy of the tree, and write down who catches it
	@$(BIN)/python -m tests.planted --table docs/planted-bugs.md $(ARGS)

mutants: $(VENV)/.tools $(VENV)/.installed ## change the code at random in a copy of the tree, and count what the tests see (long)
	@$(PIP) install "cosmic-ray>=8,<9"
	@$(BIN)/python -m tests.planted.mutants domain $(ARGS)
	@$(BIN)/python -m tests.planted.mutants engine $(ARGS)

bench: $(VENV)/.installed ## measure the order flow against the hand-written floor, with many in flight and with one; then the timers, the hash chain and the colony
	@$(BIN)/python -m benchmarks.order_flow --orders $(ORDERS) --in-flight 512
	@$(BIN)/python -m benchmarks.order_flow --orders 1000 --in-flight 1
	@$(BIN)/python -m benchmarks.timers
	@$(BIN)/python -m benchmarks.chain --orders $(ORDERS)
	@$(BIN)/python -m benchmarks.colony

peers: $(VENV)-peers/.peers ## measure the order flow on other libraries, in turn with ours
	@$(VENV)-peers/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --force-reinstall .
	@$(VENV)-peers/bin/python -m benchmarks.peers $(ARGS)

crash: $(VENV)/.tools $(VENV)/.installed ## kill a store by SIGKILL, KILLS times, and hold it against its promises
	@$(BIN)/python -m tests.crash --kills $(KILLS) --seed $(SEED)

powerloss: $(VENV)/.tools $(VENV)/.installed ## cut the power of a log's disk, IMAGES times, and open what is left
	@$(BIN)/python -m tests.powerloss --images $(IMAGES) --seed $(SEED)

rot: $(VENV)/.tools $(VENV)/.installed ## damage a log, CASES times, and have it verified
	@$(BIN)/python -m tests.powerloss.rot --cases $(CASES) --seed $(SEED)

lock: ## pin the newest versions that pyproject.toml allows (needs uv)
	$(COMPILE) --upgrade --group build --output-file requirements.lock
	$(COMPILE) --upgrade --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove everything that was made here
	rm -rf $(VENV) $(VENV)-peers build dist ./*.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache .coverage htmlcov .bench
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock | $(BIN)/python
	@$(PIP) install --requirement requirements.lock
	@touch $@

$(VENV)/.tools: requirements-dev.lock | $(VENV)/.runtime
	@echo "Installing the development tools"
	@$(PIP) install --requirement requirements-dev.lock
	@touch $@

# A strict editable install links each file on its own, so it is made again when a file comes or goes; an edit needs nothing.
$(VENV)/.files: FORCE | $(BIN)/python
	@test -d build || rm -f $@
	@find __init__.py __main__.py py.typed $(wildcard $(PACKAGES)) -name '*.py' -o -name '*.sql' -o -name py.typed | LC_ALL=C sort > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(VENV)/.installed: $(VENV)/.files pyproject.toml $(VENV)/.runtime
	@rm -rf build
	@$(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=strict --editable .
	@touch $@

# Their dependencies are theirs to choose, so they have an environment of their own, with this tree as it is.
$(VENV)-peers/.peers: pyproject.toml requirements.lock | $(BIN)/python
	@$(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip --disable-pip-version-check --quiet install --requirement requirements.lock '.[peers]'
	@touch $@
