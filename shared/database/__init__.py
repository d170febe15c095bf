"""Access to Postgres: one module per statement of the protocol, each with its SQL."""
