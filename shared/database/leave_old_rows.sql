-- PROTOCOL 10: nothing could be asked about these entries yet; the next look takes them again. $1 tokens
UPDATE bridge.outbox SET lease_until = NULL, owner = NULL
 WHERE token = ANY ($1::uuid[]) AND state IN ('new', 'backoff', 'held', 'unknown')
