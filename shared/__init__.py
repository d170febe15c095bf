"""What several services need: domain decisions, the Binance client, the database, secrets, telemetry."""
