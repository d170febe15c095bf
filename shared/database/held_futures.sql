-- DESIGN 5: the open position a futures row may reduce. (Rows that reduce wait in `peek` for fills still to be applied.)
-- $1 account  $2 symbol  $3 side
SELECT coalesce(sum(p.size), 0) AS size
  FROM bridge.position AS p
 WHERE p.account_id = $1 AND p.market = 'futures' AND p.symbol = $2 AND p.side = $3 AND p.status = 'open'
