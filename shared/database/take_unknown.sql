-- PROTOCOL 7: take attempts nobody is resolving; a fresh token, so that an earlier resolver's late word does not count.
-- $1 owner  $2 lease  $3 most  $4 accounts served (null: all)
WITH taken AS MATERIALIZED (
    SELECT e.id FROM bridge.outbox AS e
     WHERE ($4::uuid[] IS NULL OR e.account_id = ANY ($4))
       -- those of an earlier epoch are asked about under all nine ids first (PROTOCOL 10)
       AND EXISTS (SELECT FROM bridge.attempt AS a
                    WHERE a.order_id = e.order_id AND a.number = e.attempts
                      AND a.epoch = (SELECT max(id) FROM bridge.epoch))
       AND e.state = 'unknown' AND (e.lease_until IS NULL OR e.lease_until < clock_timestamp())
     ORDER BY e.id
     LIMIT $3
       FOR UPDATE SKIP LOCKED
), entry AS (
    UPDATE bridge.outbox AS e
       SET token = gen_random_uuid(), owner = $1::text, lease_until = clock_timestamp() + $2::interval
      FROM taken AS t WHERE e.id = t.id
 RETURNING e.order_id, e.attempts, e.token, e.account_id, e.counted, e.trace
)
SELECT a.order_id, a.number, a.account_id, a.market, a.symbol, a.client_order_id, a.base_asset, a.quote_asset,
       a.signed_at_ms, a.recv_window_ms, a.base_url, a.api_key_hash, a.account_uid, a.environment_epoch, a.epoch,
       a.conditional, n.token, n.counted, n.trace, s.subscribed_at_ms, c.verified_through_ms,
       x.user_id AS account_user_id, x.exchange::text AS exchange, x.api_key_encrypted, x.secret_encrypted,
       coalesce(x.is_testnet, false) AS is_testnet, coalesce(x.is_active, false) AS account_active,
       x.xmin::text AS account_version
  FROM entry AS n
  JOIN bridge.attempt AS a ON a.order_id = n.order_id AND a.number = n.attempts
  JOIN public.exchange_accounts AS x ON x.id = a.account_id
  LEFT JOIN bridge.stream AS s ON s.account_id = a.account_id AND s.market = a.market
       AND s.connection_id IS NOT NULL AND s.lease_until > clock_timestamp()
  LEFT JOIN bridge.connection AS c ON c.id = s.connection_id
