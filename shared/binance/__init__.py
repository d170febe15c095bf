"""The Binance client: transport, signing, requests and streams."""
