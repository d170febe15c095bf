-- Every sealed column of every account, of all exchanges: the bot has one key for all. Locked until the transaction ends.
SELECT x.id, coalesce(x.label, '') AS label, x.api_key_encrypted, x.secret_encrypted, x.passphrase, x.listen_key_encrypted
  FROM public.exchange_accounts AS x
 ORDER BY x.id
   FOR UPDATE
