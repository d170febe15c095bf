-- The newest rotation whose old blobs are still kept, beside what the accounts hold now.
SELECT f.rotation_id, f.account_id AS id, f.rotated_at, f.api_key_encrypted, f.secret_encrypted, f.passphrase,
       f.listen_key_encrypted, x.api_key_encrypted AS api_key_now, x.secret_encrypted AS secret_now
  FROM bridge.former_key AS f
  LEFT JOIN public.exchange_accounts AS x ON x.id = f.account_id
 WHERE f.rotation_id = (SELECT rotation_id FROM bridge.former_key ORDER BY rotated_at DESC, rotation_id LIMIT 1)
 ORDER BY f.account_id
