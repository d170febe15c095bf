"""Consumes the user-data streams, stores fills, keeps orders and positions true to them."""
