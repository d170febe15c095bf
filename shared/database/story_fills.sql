-- An order's executions. $1 order
SELECT number, exchange_order_id, trade_id, side, price, quantity, quote, commission, commission_asset,
       commission_in_quote, is_maker, source, applied, traded_at, stored_at
  FROM bridge.fill WHERE order_id = $1::uuid ORDER BY traded_at, trade_id
