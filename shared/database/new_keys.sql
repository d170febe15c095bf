-- PROTOCOL 11: the keys of all new rows from the low-water mark on. A row that a transaction open for longer committed below it
-- is found by the sweep. $1 low-water mark  $2 accounts served (null: all)
SELECT DISTINCT account_id, market, symbol
  FROM bridge.outbox
 WHERE state IN ('new', 'backoff') AND id >= $1::bigint
   AND ($2::uuid[] IS NULL OR account_id = ANY ($2))
