-- One account, with its sealed keys. $1 account
SELECT x.id, x.user_id, x.exchange::text AS exchange, coalesce(x.label, '') AS label,
       coalesce(x.is_testnet, false) AS is_testnet, coalesce(x.is_active, false) AS is_active,
       coalesce(x.permissions, '{}') AS permissions, x.xmin::text AS version, x.api_key_encrypted, x.secret_encrypted,
       x.created_at, x.updated_at
  FROM public.exchange_accounts AS x
 WHERE x.id = $1::uuid
