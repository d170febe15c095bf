-- PROTOCOL 11: of the oldest rows that wait, those whose turn has not come, and what they wait for.
-- $1 most rows looked at  $2 accounts served (null: all)  $3 max_key_block
SELECT o.order_id, o.market, why.code, why.order_id AS other
  FROM (SELECT e.id, e.order_id, e.market
          FROM bridge.outbox AS e
         WHERE e.state IN ('new', 'backoff') AND ($2::uuid[] IS NULL OR e.account_id = ANY ($2))
         ORDER BY e.id
         LIMIT $1::integer) AS o
 CROSS JOIN LATERAL bridge.waits_for(o.id, $3::interval) AS why
 ORDER BY o.id
