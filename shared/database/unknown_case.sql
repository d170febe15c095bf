-- PROTOCOL 7: what an operator needs to know before he settles an attempt nobody can. $1 order
SELECT e.order_id, e.state, e.lease_until < clock_timestamp() AS lease_over, e.attempts AS number, e.account_id,
       bridge.awaits_round(e.id, e.asked_epoch) AS awaits_round,
       a.market, a.symbol, a.client_order_id, a.base_asset, a.quote_asset, a.signed_at_ms, a.recv_window_ms, a.base_url,
       a.api_key_hash, a.environment_epoch, a.claimed_at, a.conditional, clock_timestamp() AS now
  FROM bridge.outbox AS e
  LEFT JOIN bridge.attempt AS a ON a.order_id = e.order_id AND a.number = e.attempts
 WHERE e.order_id = $1::uuid
