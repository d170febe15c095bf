-- The users' accounts, with what the bridge has to do with each.
SELECT x.id, x.user_id, x.exchange::text AS exchange, coalesce(x.label, '') AS label,
       coalesce(x.is_testnet, false) AS is_testnet, coalesce(x.is_active, false) AS is_active,
       x.created_at, x.updated_at, 
       (SELECT string_agg(k.reason, '; ') FROM bridge.pause AS k
         WHERE k.scope = 'key' AND split_part(k.key, ' ', 1) = x.id::text AND k.account_version = x.xmin::text) AS key_refused,
       (SELECT count(*) FROM bridge.outbox AS e WHERE e.account_id = x.id AND e.state IN ('new', 'backoff')) AS waiting,
       (SELECT count(*) FROM bridge.outbox AS e WHERE e.account_id = x.id AND e.state = 'submitted') AS at_exchange,
       (SELECT count(*) FROM bridge.outbox AS e WHERE e.account_id = x.id AND e.state = 'unknown') AS unknown,
       (SELECT count(*) FROM bridge.position AS p WHERE p.account_id = x.id AND p.status = 'open') AS positions,
       (SELECT count(*) FROM bridge.preference AS p WHERE p.account_id = x.id) AS preferred
  FROM public.exchange_accounts AS x
 ORDER BY x.created_at, x.id
