.PHONY: model

model: $(READY)
	@$(BIN)/python -m docs.model
