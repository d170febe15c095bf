-- DESIGN 6, PROTOCOL 7: the orders of some accounts that are not over, or whose fills do not add up, and attempts judged absent of
-- late, which stay watched: what a reconciliation asks about.
-- $1 accounts  $2 market
SELECT a.order_id, a.number, a.account_id, a.symbol, a.client_order_id, a.exchange_order_id, a.base_asset, a.quote_asset,
       a.executed, a.filled, a.conditional
  FROM bridge.outbox AS e
  JOIN bridge.attempt AS a ON a.order_id = e.order_id AND a.number = e.attempts
 WHERE e.account_id = ANY ($1::uuid[]) AND e.market = $2::text AND e.state = 'submitted'
 UNION ALL
SELECT a.order_id, a.number, a.account_id, a.symbol, a.client_order_id, a.exchange_order_id, a.base_asset, a.quote_asset,
       a.executed, a.filled, a.conditional
  FROM bridge.outbox AS e
  JOIN bridge.attempt AS a ON a.order_id = e.order_id AND a.number = e.attempts
 WHERE e.account_id = ANY ($1::uuid[]) AND e.market = $2::text AND e.state = 'unknown'
 UNION ALL
SELECT a.order_id, a.number, a.account_id, a.symbol, a.client_order_id, a.exchange_order_id, a.base_asset, a.quote_asset,
       a.executed, a.filled, a.conditional
  FROM bridge.attempt AS a
  JOIN bridge.outbox AS e ON e.order_id = a.order_id
 WHERE a.account_id = ANY ($1::uuid[]) AND a.market = $2::text AND a.executed > a.filled AND e.state = 'done'
 UNION ALL
SELECT a.order_id, a.number, a.account_id, a.symbol, a.client_order_id, a.exchange_order_id, a.base_asset, a.quote_asset,
       a.executed, a.filled, a.conditional
  FROM bridge.attempt AS a
 WHERE a.watched_until > statement_timestamp() AND a.outcome = 'absent' AND a.exchange_order_id IS NULL
   AND a.account_id = ANY ($1::uuid[]) AND a.market = $2::text
