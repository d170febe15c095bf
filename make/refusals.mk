.PHONY: refusals

refusals: $(READY)
	@$(BIN)/python -m tests.refusals.prove
