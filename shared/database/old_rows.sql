-- PROTOCOL 10: rows older than a change of history, not yet asked about under all nine ids; taken by one process at a time.
-- Of a conditional order nothing documents the check in the engine, so it takes double margins here as well (PROTOCOL 7).
-- $1 epoch  $2 owner  $3 lease  $4 accounts served (null: all)  $5 most  $6 how much longer
WITH change AS (
    SELECT id, last_entry_id, quarantine_until FROM bridge.epoch
     WHERE id = $1 AND NOT is_first AND quarantine_until <= clock_timestamp()
), taken AS MATERIALIZED (
    SELECT e.id, e.market = 'futures' AND o.type::text IN ('stop_market', 'stop_limit') AS conditional
      FROM bridge.outbox AS e CROSS JOIN change AS c
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.id <= c.last_entry_id AND e.state IN ('new', 'backoff', 'held', 'unknown')
       AND e.asked_epoch IS DISTINCT FROM c.id
       AND (e.lease_until IS NULL OR e.lease_until < clock_timestamp())
       AND ($4::uuid[] IS NULL OR e.account_id = ANY ($4))
       AND (c.quarantine_until + $6::interval <= clock_timestamp()
            OR NOT (e.market = 'futures' AND o.type::text IN ('stop_market', 'stop_limit')))
     ORDER BY e.id LIMIT $5
       FOR UPDATE OF e SKIP LOCKED
), entry AS (
    UPDATE bridge.outbox AS e
       SET lease_until = clock_timestamp() + $3::interval, owner = $2, token = gen_random_uuid()
      FROM taken AS t WHERE e.id = t.id
 RETURNING e.id, e.order_id, e.account_id, e.market, e.state, e.attempts, e.token, e.created_at, t.conditional
)
SELECT n.id, n.order_id, n.account_id, n.market, n.state, n.attempts, n.token, n.created_at, o.symbol,
       n.conditional,
       x.user_id AS account_user_id, x.exchange::text AS exchange, x.api_key_encrypted, x.secret_encrypted,
       coalesce(x.is_testnet, false) AS is_testnet, coalesce(x.is_active, false) AS account_active,
       x.xmin::text AS account_version
  FROM entry AS n
  JOIN public.orders AS o ON o.id = n.order_id
  JOIN public.exchange_accounts AS x ON x.id = n.account_id
