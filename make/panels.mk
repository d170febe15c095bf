.PHONY: panels

# Where Prometheus is not installed, Debian's is unpacked into build/tools.
panels: $(READY)
	@PATH="$(CURDIR)/build/tools:$$PATH" command -v prometheus > /dev/null || .ci/prometheus build/tools
	@PATH="$(CURDIR)/build/tools:$$PATH" $(BIN)/python -m deploy.grafana.prove_panels
