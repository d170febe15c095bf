-- What a halt leaves as it is: orders that rest at the exchange, and those nobody knows about. $1 scope  $2 key
SELECT e.state, count(*) AS orders
  FROM bridge.outbox AS e
 WHERE e.state IN ('submitted', 'unknown')
   AND ($1::text = 'global' OR ($1::text = 'account' AND e.account_id::text = $2::text)
        OR ($1::text = 'symbol' AND e.symbol = bridge.key_symbol($2::text)))
 GROUP BY e.state
