-- Positive evidence about an order. $1 order
SELECT number, source, exchange_order_id, exchange_status, late, seen_at
  FROM bridge.evidence WHERE order_id = $1::uuid ORDER BY id
