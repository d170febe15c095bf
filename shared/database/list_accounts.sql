-- The users' accounts, with what the bridge has to do with each.
SELECT x.id, x.user_id, x.exchange::text AS exchange, coalesce(x.label, '') AS label,
       coalesce(x.is_testnet, false) AS is_testnet, coalesce(x.is_active, false) AS is_active,
       x.created_at, x.updated_at, k.reason AS key_refused,
       (SELECT count(*) FROM bridge.outbox AS e WHERE e.account_id = x.id AND e.state IN ('new', 'backoff')) AS waiting,
       (SELECT count(*) FROM bridge.outbox AS e WHERE e.account_id = x.id AND e.state = 'submitted') AS at_exchange,
       (SELECT count(*) FROM bridge.outbox AS e WHERE e.account_id = x.id AND e.state = 'unknown') AS unknown,
       (SELECT count(*) FROM bridge.position AS p WHERE p.account_id = x.id AND p.status = 'open') AS positions,
       (SELECT count(*) FROM bridge.preference AS p WHERE p.account_id = x.id) AS preferred
  FROM public.exchange_accounts AS x
  LEFT JOIN bridge.pause AS k ON k.scope = 'key' AND k.key = x.id::text AND k.account_version = x.xmin::text
 ORDER BY x.created_at, x.id
