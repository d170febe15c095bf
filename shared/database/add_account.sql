-- Insert an account exactly as the bot does: every column named, no NULL where it cannot read one. $1 user  $2 label
-- $3 sealed API key  $4 sealed secret  $5 testnet
INSERT INTO public.exchange_accounts (id, user_id, exchange, label, api_key_encrypted, secret_encrypted, passphrase, is_testnet,
                                      permissions, is_active, last_sync_at, listen_key_encrypted, listen_key_expires_at,
                                      created_at, updated_at)
SELECT gen_random_uuid(), u.id, 'binance', $2::text, $3::bytea, $4::bytea, '', $5::boolean, '{read,trade}', true, NULL, '', NULL,
       clock_timestamp(), clock_timestamp()
  FROM public.users AS u
 WHERE u.id = $1::uuid
RETURNING id
