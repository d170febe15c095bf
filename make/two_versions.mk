.PHONY: two_versions

# The older version: OLDER=v1.2.0 make two_versions; needs the history of the repository.
OLDER ?= HEAD~20

two_versions: $(READY)
	@BRIDGE_OLDER_VERSION=$(OLDER) $(BIN)/pytest -m whole --numprocesses 0 -q tests/end_to_end/test_two_versions.py
