-- PROTOCOL 1: of the oldest rows that wait, those of a type that this version does not know; the peek does not show them.
-- $1 types known  $2 most rows looked at  $3 accounts served (null: all)
SELECT e.id AS entry_id, o.xmin::text AS row_xmin, o.ctid::text AS row_ctid, e.market, o.type::text AS type
  FROM (SELECT x.id, x.order_id, x.market FROM bridge.outbox AS x
         WHERE x.state IN ('new', 'backoff') AND ($3::uuid[] IS NULL OR x.account_id = ANY ($3))
         ORDER BY x.id
         LIMIT $2::integer) AS e
  JOIN public.orders AS o ON o.id = e.order_id
 WHERE o.type::text <> ALL ($1::text[])
