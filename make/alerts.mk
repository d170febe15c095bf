.PHONY: alerts

# Where Prometheus is not installed, Debian's is unpacked into build/tools.
alerts: $(READY)
	@PATH="$(CURDIR)/build/tools:$$PATH" command -v promtool > /dev/null || .ci/prometheus build/tools
	@PATH="$(CURDIR)/build/tools:$$PATH" $(BIN)/python -m deploy.prometheus.prove_alerts
