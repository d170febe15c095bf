-- DESIGN 6: the sealed keys of accounts whose row is new or changed. $1 accounts
SELECT id, xmin::text AS version, api_key_encrypted, secret_encrypted
  FROM public.exchange_accounts
 WHERE id = ANY ($1::uuid[])
