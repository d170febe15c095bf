-- What was asked about an order, and what came back. $1 order
SELECT number, kind, result, coalesce(detail, '') AS detail, sent_after_ms, environment, epoch, asked_at
  FROM bridge.question WHERE order_id = $1::uuid ORDER BY id
