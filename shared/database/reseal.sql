-- Seal keys anew, and keep the old blobs until somebody has seen that the new ones open. $1 rotation  $2 accounts
-- $3 API keys  $4 secrets  $5 passphrases  $6 listen keys, all sealed
WITH new AS (
    SELECT * FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
        AS n (id, api_key, secret, passphrase, listen_key)
), kept AS (
    INSERT INTO bridge.former_key (rotation_id, account_id, api_key_encrypted, secret_encrypted, passphrase,
                                   listen_key_encrypted)
    SELECT $1::uuid, x.id, x.api_key_encrypted, x.secret_encrypted, x.passphrase, x.listen_key_encrypted
      FROM public.exchange_accounts AS x JOIN new USING (id)
), sealed AS (
    UPDATE public.exchange_accounts AS x
       SET api_key_encrypted = n.api_key, secret_encrypted = n.secret, passphrase = n.passphrase,
           listen_key_encrypted = n.listen_key
      FROM new AS n
     WHERE x.id = n.id
 RETURNING x.id
), told AS (
    INSERT INTO bridge.event (kind, account_id, data)
    SELECT 'key_resealed', id, jsonb_build_object('rotation', $1::uuid) FROM sealed
)
SELECT count(*) AS resealed FROM sealed
