-- `bridge top`: the newest orders, by their entries. $1 most
SELECT o.id, e.created_at, o.symbol, o.market_type::text AS market, o.side::text AS side, o.type::text AS type, o.amount,
       o.status::text AS status, e.state, coalesce(e.reason_code, '') AS reason_code, e.attempts,
       coalesce(o.filled_amount, 0) AS filled, coalesce(o.avg_fill_price, 0) AS average_price
  FROM (SELECT * FROM bridge.outbox ORDER BY id DESC LIMIT $1::integer) AS e
  JOIN public.orders AS o ON o.id = e.order_id
 ORDER BY e.id DESC
