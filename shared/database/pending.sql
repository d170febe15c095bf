-- Rows that wait to be sent, oldest first. $1 most rows (null: all)  $2 one user (null: all)
SELECT o.id, o.user_id, o.strategy_id, o.exchange_account_id, o.symbol, e.market, e.side, o.type::text AS type, o.amount, coalesce(o.price, 0) AS price,
       coalesce(o.stop_price, 0) AS stop_price, coalesce(o.reduce_only, false) AS reduce_only,
       coalesce(o.agent_id, '') AS agent_id, coalesce(o.reasoning, '') AS reasoning, o.parent_order_id,
       CASE WHEN o.created_at BETWEEN '0001-01-02' AND '9999-12-30' THEN o.created_at ELSE e.created_at END AS created_at
  FROM bridge.outbox AS e
  JOIN public.orders AS o ON o.id = e.order_id
 WHERE e.state IN ('new', 'backoff') AND o.status IN ('pending', 'open')
   AND o.type::text IN ('market', 'limit', 'stop_market', 'stop_limit')
   AND ($2::uuid IS NULL OR e.user_id = $2)
 ORDER BY e.id
 LIMIT $1
