"""Claims pending orders, sends them to Binance once, settles what came back, resolves what did not."""
