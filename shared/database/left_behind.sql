-- DESIGN 6: what the former epochs of a wiped testnet left behind: orders that are not over, or whose fills do not add up, and open
-- positions with the order of their newest fill. Only what that very environment had accepted.
-- $1 accounts  $2 market  $3 base URL  $4 epoch now  $5 claimed longer ago than
SELECT a.account_id, a.order_id, a.number, NULL::uuid AS holding_id, a.symbol, a.client_order_id, a.exchange_order_id,
       a.api_key_hash
  FROM bridge.outbox AS e
  JOIN bridge.attempt AS a ON a.order_id = e.order_id AND a.number = e.attempts
 WHERE e.account_id = ANY ($1::uuid[]) AND e.market = $2 AND e.state = 'submitted'
   AND a.base_url = $3 AND a.environment_epoch < $4 AND a.claimed_at < clock_timestamp() - $5::interval
 UNION ALL
SELECT a.account_id, a.order_id, a.number, NULL, a.symbol, a.client_order_id, a.exchange_order_id, a.api_key_hash
  FROM bridge.outbox AS e
  JOIN bridge.attempt AS a ON a.order_id = e.order_id AND a.number = e.attempts
 WHERE e.account_id = ANY ($1::uuid[]) AND e.market = $2 AND e.state = 'unknown'
   AND a.base_url = $3 AND a.environment_epoch < $4 AND a.claimed_at < clock_timestamp() - $5::interval
 UNION ALL
SELECT a.account_id, a.order_id, a.number, NULL, a.symbol, a.client_order_id, a.exchange_order_id, a.api_key_hash
  FROM bridge.attempt AS a
  JOIN bridge.outbox AS e ON e.order_id = a.order_id
 WHERE a.account_id = ANY ($1::uuid[]) AND a.market = $2 AND a.executed > a.filled AND e.state = 'done'
   AND a.base_url = $3 AND a.environment_epoch < $4 AND a.claimed_at < clock_timestamp() - $5::interval
 UNION ALL
SELECT a.account_id, a.order_id, a.number, h.id, a.symbol, a.client_order_id, a.exchange_order_id, a.api_key_hash
  FROM bridge.position AS p
  JOIN bridge.holding AS h ON h.id = p.holding_id
  JOIN bridge.attempt AS a
    ON a.account_id = h.account_id AND a.market = h.market AND a.symbol = h.symbol AND a.exchange_order_id = h.through_order
   AND a.environment_epoch = h.environment_epoch
 WHERE p.account_id = ANY ($1::uuid[]) AND p.market = $2 AND p.status = 'open'
   AND a.base_url = $3 AND h.environment_epoch < $4
