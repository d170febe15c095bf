.PHONY: containers

# Where the base images cannot be pulled, stand-ins under the same names are built first; users never meet them.
containers: $(READY)
	@docker version > /dev/null || { echo "no Docker engine answers; this proof needs one" >&2; exit 1; }
	@.ci/container-tools
	@.ci/stand-ins python:3.13-slim postgres:17 prom/prometheus:v2.53.4
	@$(BIN)/python -m deploy.prove_containers
	@BRIDGE_TEST_SERVER=container $(BIN)/pytest -q -n0 tests/integration/test_trigger.py tests/integration/test_claim.py
