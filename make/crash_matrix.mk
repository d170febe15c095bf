.PHONY: crash-matrix

crash-matrix: $(READY)
	@$(BIN)/python -m tests.crash.matrix
