-- Accounts with this very label. $1 label
SELECT id, concat_ws(' ', exchange, label, CASE WHEN is_testnet THEN 'testnet' ELSE 'live' END) AS what
  FROM public.exchange_accounts WHERE label = $1::text ORDER BY id LIMIT 10
