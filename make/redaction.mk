.PHONY: redaction

redaction: $(READY)
	@$(BIN)/python -m tests.redaction.prove
