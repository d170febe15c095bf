-- PROTOCOL 11: of the oldest rows that wait, those whose turn has not come: their parent is not over, or an earlier row of their key
-- is not at the exchange yet. $1 most rows looked at  $2 accounts served (null: all)
WITH oldest AS (
    SELECT e.id, e.order_id, e.account_id, e.market, e.symbol, e.side, e.reduces, e.parent_id
      FROM bridge.outbox AS e
     WHERE e.state IN ('new', 'backoff') AND ($2::uuid[] IS NULL OR e.account_id = ANY ($2))
     ORDER BY e.id
     LIMIT $1::integer
)
SELECT o.order_id, o.market, parent.id AS parent, earlier.order_id AS earlier
  FROM oldest AS o
  LEFT JOIN LATERAL (
       SELECT p.id
         FROM public.orders AS p LEFT JOIN bridge.outbox AS e ON e.order_id = p.id
        WHERE p.id = o.parent_id AND (p.status IN ('pending', 'open', 'partial') OR e.state <> 'done')) AS parent ON true
  LEFT JOIN LATERAL (
       SELECT e.order_id
         FROM (VALUES ('buy'), ('sell')) AS s (side)
        CROSS JOIN LATERAL (
              SELECT x.id, x.order_id FROM bridge.outbox AS x
               WHERE x.account_id = o.account_id AND x.market = o.market AND x.symbol = o.symbol AND x.side = s.side
                 AND x.state IN ('new', 'backoff', 'sending', 'unknown') AND x.id < o.id
               ORDER BY x.id DESC LIMIT 1) AS e
        WHERE s.side = o.side OR NOT o.reduces
        ORDER BY e.id DESC LIMIT 1) AS earlier ON true
 WHERE parent.id IS NOT NULL OR earlier.order_id IS NOT NULL
