.PHONY: pgbouncer

# The end-to-end tests with every work connection through PgBouncer in transaction mode; Debian's is unpacked into build/tools.
pgbouncer: $(READY)
	@.ci/pgbouncer build/tools
	BRIDGE_TEST_THROUGH_PGBOUNCER=1 $(BIN)/pytest tests/end_to_end/test_pgbouncer.py tests/end_to_end/test_pending_to_position.py \
		tests/end_to_end/test_futures.py tests/end_to_end/test_waiting.py
