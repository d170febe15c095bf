-- PROTOCOL 2: accounts that may send, and their users, so that already a process's first order needs no look.
-- $1 accounts served (null: all)  $2 most accounts
SELECT a.id, a.user_id AS account_user_id, a.exchange::text AS exchange, a.api_key_encrypted, a.secret_encrypted,
       coalesce(a.is_testnet, false) AS is_testnet, a.is_active AS account_active, a.xmin::text AS account_version,
       coalesce(u.settings::text, '{}') AS user_settings
  FROM public.exchange_accounts AS a
  JOIN public.users AS u ON u.id = a.user_id
 WHERE a.exchange = 'binance' AND a.is_active AND u.is_active AND ($1::uuid[] IS NULL OR a.id = ANY ($1))
 LIMIT $2::integer
