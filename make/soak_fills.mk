.PHONY: soak-fills

soak-fills: $(READY)
	@$(BIN)/python -m tests.soak.fills
