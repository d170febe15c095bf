-- Put the blobs of a rotation back, and forget them. $1 rotation  $2 accounts
WITH former AS (
    DELETE FROM bridge.former_key WHERE rotation_id = $1::uuid AND account_id = ANY ($2::uuid[])
 RETURNING account_id, api_key_encrypted, secret_encrypted, passphrase, listen_key_encrypted
), restored AS (
    UPDATE public.exchange_accounts AS x
       SET api_key_encrypted = f.api_key_encrypted, secret_encrypted = f.secret_encrypted, passphrase = f.passphrase,
           listen_key_encrypted = f.listen_key_encrypted
      FROM former AS f
     WHERE x.id = f.account_id
 RETURNING x.id
), told AS (
    INSERT INTO bridge.event (kind, account_id, data)
    SELECT 'key_restored', id, jsonb_build_object('rotation', $1::uuid) FROM restored
)
SELECT count(*) AS restored FROM restored
