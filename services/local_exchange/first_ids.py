"""Where ids begin: at the moment the exchange was started. One that is started again gives none out twice.

A wipe begins at the same numbers again, as the testnet does once a month: that is how a client tells the two
apart. Ids stay below 2^53, which JSON numbers of any reader hold.
"""

ORDERS_PER_MS = 10  # three times what the engine can do
TRADES_PER_MS = 100


def first_order_id(started_ms: int) -> int:
    """Return the first order id of every symbol."""
    return started_ms * ORDERS_PER_MS


def first_trade_id(started_ms: int) -> int:
    """Return the first trade id of every symbol."""
    return started_ms * TRADES_PER_MS
