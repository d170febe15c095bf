-- The traces of the orders whose fills made some positions: each ends where its position is closed.
-- $1 ids of the positions
SELECT p.id AS position_id, array_agg(DISTINCT e.trace) AS traces
  FROM bridge.position AS p
  JOIN bridge.holding  AS h ON h.id = p.holding_id
  JOIN bridge.fill     AS f ON f.account_id = h.account_id AND f.market = h.market AND f.symbol = h.symbol
                           AND f.environment_epoch = h.environment_epoch AND f.position_side = h.position_side
                           AND f.strategy_id IS NOT DISTINCT FROM h.strategy_id
                           AND f.traded_at BETWEEN p.opened_at AND coalesce(p.closed_at, 'infinity')
  JOIN bridge.outbox   AS e ON e.order_id = f.order_id
 WHERE p.id = ANY ($1::uuid[]) AND e.trace IS NOT NULL
 GROUP BY p.id
