-- How far an order is. $1 order
SELECT o.status::text AS status, e.state, coalesce(e.reason, '') AS reason, coalesce(o.filled_amount, 0) AS filled,
       coalesce(o.avg_fill_price, 0) AS average_price, coalesce(o.exchange_order_id, '') AS exchange_order_id
  FROM public.orders AS o LEFT JOIN bridge.outbox AS e ON e.order_id = o.id
 WHERE o.id = $1::uuid
