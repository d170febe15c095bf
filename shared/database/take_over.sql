-- PROTOCOL 7: an operator takes an unknown attempt from whoever asks about it, for as long as settling takes.
-- $1 order  $2 who  $3 how long  $4 what he said
WITH entry AS (
    UPDATE bridge.outbox AS e
       SET token = gen_random_uuid(), owner = $2::text, lease_until = clock_timestamp() + $3::interval
     WHERE e.order_id = $1::uuid AND e.state = 'unknown'
 RETURNING e.id, e.order_id, e.attempts, e.token, e.account_id, e.asked_epoch
), told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, number, data)
    SELECT 'operator_resolves', order_id, account_id, attempts, $4::jsonb || jsonb_build_object('by', $2::text) FROM entry
)
SELECT n.order_id, n.attempts AS number, n.token FROM entry AS n
