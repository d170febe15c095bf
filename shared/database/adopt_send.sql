-- PROTOCOL 1: release a held row: its age starts anew, and neither twin nor age holds it again. $1 order  $2 who  $3 why
WITH held AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, e.attempts, e.reason_code
      FROM bridge.outbox AS e
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.order_id = $1::uuid AND e.state = 'held' AND NOT e.has_evidence AND e.attempts < 9
       AND o.status::text = CASE e.attempts WHEN 0 THEN 'pending' ELSE 'open' END
       FOR UPDATE OF o, e
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = CASE h.attempts WHEN 0 THEN 'new' ELSE 'backoff' END, adopted = true, age_from = clock_timestamp(),
           waited = '0', reason_code = NULL, reason = NULL, not_before = NULL, changed_at = clock_timestamp()
      FROM held AS h
     WHERE e.id = h.id
 RETURNING e.state
), told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT 'adopted', order_id, account_id,
           jsonb_build_object('how', 'send', 'by', $2::text, 'why', $3::text, 'was', reason_code)
      FROM held
)
SELECT state, pg_notify('bridge_orders', '')::text AS notified FROM entry
