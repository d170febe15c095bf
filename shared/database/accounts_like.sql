-- Accounts whose id lies between two: those that begin with the same digits. $1 lowest  $2 highest
SELECT id, concat_ws(' ', exchange, label, CASE WHEN is_testnet THEN 'testnet' ELSE 'live' END) AS what
  FROM public.exchange_accounts WHERE id BETWEEN $1::uuid AND $2::uuid ORDER BY id LIMIT 10
