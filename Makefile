# Needs make and python3 >= 3.11, nothing else. `make PYTHON=python3.12 ...` chooses another one.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.tokenmill-ready
BUILT  := $(VENV)/.tokenmill-built
ENGINE := $(wildcard src/tokenmill/simulator/engine*.py)
TYPES  := $(ENGINE:.py=.pxd)
PIP    := $(BIN)/python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.PHONY: help demo test lint unit format docs validation bench clean

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(firstword $(MAKEFILE_LIST))

demo: $(BUILT) ## Plan Llama-3.3-70B over eight kinds of GPU
	@$(BIN)/tokenmill demo

test: lint unit ## Everything that must hold: lint, types, floors, tests

lint: $(BUILT) ## Style, types and the import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

unit: $(BUILT) ## The tests, on all cores
	$(BIN)/pytest -q -n auto

format: $(BUILT) ## Rewrite the files in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BUILT) ## The reference of the command line, from the commands themselves
	$(BIN)/python -m tokenmill.interface.cli.reference docs/cli.md

validation: $(BUILT) ## Intervals, docs/validation.md and budgets of error, from ../shared
	$(BIN)/tokenmill fit intervals --shared ../shared --out src/tokenmill/catalog/data
	$(BIN)/python -m tokenmill.evidence.validation ../shared docs
	$(BIN)/python -m tokenmill.evidence.budgets ../shared tests/evidence_budgets.json

bench: $(BUILT) ## The benchmarks, one after another
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean: ## Remove the environment, builds and caches
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache src/tokenmill/simulator/engine*.so
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The compiled engine follows its source; without a C compiler it runs interpreted.
$(BUILT): $(READY) $(ENGINE) $(wildcard $(TYPES)) setup.py
	@rm -rf build src/tokenmill/simulator/engine*.so
	@$(BIN)/python setup.py -q build_ext --inplace -j 2 >$(VENV)/build.log 2>&1 \
		|| { cat $(VENV)/build.log; exit 1; }
	@for file in $(basename $(ENGINE)); do ls $$file.*.so >/dev/null 2>&1 || \
		echo "note: $$file.py is not compiled and runs interpreted, slower (see $(VENV)/build.log)"; \
	done
	@touch $@

$(READY): $(BIN)/python pyproject.toml constraints.txt
	@echo "installing tokenmill and its tools into $(VENV) ..."
	@TOKENMILL_INTERPRETED=1 $(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

# An environment that has a working python is left as it is.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "tokenmill needs Python 3.11 or newer as '$(PYTHON)'; try: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV)
