-- An order's attempts, without token. $1 order
SELECT number, client_order_id, market, symbol, parameters, signed_at_ms, recv_window_ms, base_url,
       environment_epoch, epoch, outcome, reason_code, reason, coalesce(exchange_order_id, '') AS exchange_order_id,
       coalesce(exchange_status, '') AS exchange_status, executed, executed_quote, filled, fee, fee_asset, reported_at,
       claimed_at, settled_at, late, watched_until, cancel_sent_at
  FROM bridge.attempt WHERE order_id = $1::uuid ORDER BY number
