-- PROTOCOL 7: everything asked about one attempt. $1 order  $2 number
SELECT kind, result, sent_after_ms, api_key_hash, account_uid, environment, epoch
  FROM bridge.question WHERE order_id = $1 AND number = $2 ORDER BY id
