-- PROTOCOL 10: whoever held a token lost it, and what was in flight may have reached the exchange.
WITH in_flight AS (
    UPDATE bridge.outbox
       SET token = gen_random_uuid(), owner = NULL, lease_until = NULL, changed_at = clock_timestamp(),
           state = CASE WHEN state = 'sending' THEN 'unknown' ELSE state END
     WHERE state IN ('new', 'backoff', 'sending', 'unknown')
 RETURNING order_id, attempts, account_id, state
), attempt AS (
    UPDATE bridge.attempt AS a
       SET outcome = 'unknown', reason_code = 'epoch_changed',
           reason = 'the database changed under us while this attempt was in flight'
      FROM in_flight AS f
     WHERE a.order_id = f.order_id AND a.number = f.attempts AND f.state = 'unknown' AND a.outcome IS NULL
)
INSERT INTO bridge.event (kind, order_id, account_id, number, data)
SELECT 'unknown', order_id, account_id, attempts, '{"why": "epoch_changed"}'
  FROM in_flight WHERE state = 'unknown'
