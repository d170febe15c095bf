# The queues it compares with are installed beside, not into, what the bridge is built with.
.PHONY: bench bench-page
BENCH := .venv-bench
BENCH_READY := $(BENCH)/ready

bench: $(BENCH_READY)
	@$(BENCH)/bin/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(KEEP),--keep)

# The figures, the targets and the charts of docs/benchmark.md, from what the last run left.
bench-page: $(BENCH_READY)
	@$(BENCH)/bin/python -m bench.publish

$(BENCH_READY): requirements/dev.txt requirements/bench.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench.txt
	touch $@
