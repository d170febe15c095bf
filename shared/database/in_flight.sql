-- What is between claim and settled outcome. $1 scope  $2 key (see set_control)
SELECT e.order_id, e.attempts AS number, e.account_id, e.symbol, e.side, e.owner, e.lease_until
  FROM bridge.outbox AS e
 WHERE e.state = 'sending'
   AND ($1::text = 'global' OR ($1::text = 'account' AND e.account_id::text = $2::text)
        OR ($1::text = 'symbol' AND e.symbol = bridge.key_symbol($2::text)))
 ORDER BY e.id
