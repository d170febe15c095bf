"""A local Binance: spot REST, WebSocket API and market streams, with its own arithmetic."""
