-- PROTOCOL 1: a held row is not to be sent: entry done, row rejected the way the bot words it. $1 order  $2 who  $3 why
WITH held AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, e.reason_code
      FROM bridge.outbox AS e
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.order_id = $1::uuid AND e.state = 'held' AND NOT e.has_evidence
       AND NOT bridge.awaits_round(e.id, e.asked_epoch)
       AND o.status IN ('pending', 'open')
       FOR UPDATE OF o, e
), row_written AS (
    UPDATE public.orders AS o
       SET status = 'rejected',
           reasoning = 'Rejected: ' || CASE WHEN coalesce(o.reasoning, '') = '' THEN $3::text
                                            ELSE rtrim($3::text, '.') || '. Original reasoning: ' || o.reasoning END
      FROM held AS h
     WHERE o.id = h.order_id
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'done', reason_code = 'operator', reason = $3::text, token = NULL, lease_until = NULL,
           changed_at = clock_timestamp()
      FROM held AS h
     WHERE e.id = h.id
), told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT 'adopted', order_id, account_id,
           jsonb_build_object('how', 'reject', 'by', $2::text, 'why', $3::text, 'was', reason_code)
      FROM held
)
SELECT order_id FROM held
