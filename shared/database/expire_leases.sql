-- $1 accounts served (null: all)
-- PROTOCOL 7: a worker whose lease ran out may have sent. Its token is replaced, so its late word does not count.
WITH expired AS MATERIALIZED (
    SELECT id, order_id, account_id, attempts FROM bridge.outbox
     WHERE ($1::uuid[] IS NULL OR account_id = ANY ($1))
       AND state = 'sending' AND lease_until < clock_timestamp()
     ORDER BY order_id
       FOR UPDATE SKIP LOCKED
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'unknown', token = gen_random_uuid(), owner = NULL, lease_until = NULL,
           reason_code = 'lease_expired', reason = 'the worker that claimed it was not heard of again; it may have sent',
           changed_at = clock_timestamp()
      FROM expired AS x WHERE e.id = x.id
), attempt AS (
    UPDATE bridge.attempt AS a SET outcome = 'unknown', reason_code = 'lease_expired'
      FROM expired AS x
     WHERE a.order_id = x.order_id AND a.number = x.attempts AND a.outcome IS NULL
), event AS (
    INSERT INTO bridge.event (kind, order_id, account_id, number, data)
    SELECT 'unknown', order_id, account_id, attempts, '{"reason_code": "lease_expired"}' FROM expired
)
SELECT order_id FROM expired
