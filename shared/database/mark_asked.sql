-- PROTOCOL 10: the exchange has none of the nine ids of these entries. $1 epoch  $2 tokens
UPDATE bridge.outbox SET asked_epoch = $1, lease_until = NULL, owner = NULL
 WHERE token = ANY ($2::uuid[]) AND state IN ('new', 'backoff', 'held', 'unknown')
