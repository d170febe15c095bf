# Every target bootstraps .venv by itself; nothing but Python 3.11+ and make is needed on the machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# What `make proof` runs whole; each prints a table and writes build/proof/NAME.json.
PROOFS := crash-matrix model conformance alerts refusals redaction soak panels kubernetes containers

.PHONY: demo test lint format proof clean

demo: $(READY)
	@$(BIN)/bridge demo $(if $(KEEP),--keep)

test: $(READY)
	$(BIN)/pytest -m "not whole" --numprocesses 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

proof: $(READY) $(PROOFS)

clean:
	rm -rf $(VENV) .venv-audit .venv-bench .venv-conformance .venv-kubernetes build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# --no-deps: what is installed is what the pinned files say, and nothing else.
$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

include $(wildcard make/*.mk)
