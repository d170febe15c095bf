.PHONY: soak

soak: $(READY)
	@$(BIN)/python -m tests.crash.soak
