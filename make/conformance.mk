# Other people's clients, unmodified, against the local exchange; their packages live in an environment of their own.
CONFORMANCE_VENV := .venv-conformance
CONFORMANCE_READY := $(CONFORMANCE_VENV)/ready

.PHONY: conformance

conformance: $(READY) $(CONFORMANCE_READY)
	@$(CONFORMANCE_VENV)/bin/python -m tests.conformance --exchange-python $(BIN)/python --out build/proof/conformance.json

$(CONFORMANCE_READY): requirements/conformance.txt
	test -x $(CONFORMANCE_VENV)/bin/python || $(PYTHON) -m venv $(CONFORMANCE_VENV)
	$(CONFORMANCE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/conformance.txt
	touch $@
