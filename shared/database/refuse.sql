-- DESIGN 5: reject rows before any attempt, or between two: entry done, row rejected the way the bot words it.
-- $1 entry ids  $2 xmin  $3 ctid  $4 codes  $5 sentences
WITH refused AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, r.code, r.sentence
      FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
           AS r (entry_id, row_xmin, row_ctid, code, sentence)
      JOIN bridge.outbox AS e ON e.id = r.entry_id
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.state IN ('new', 'backoff') AND NOT e.has_evidence AND NOT bridge.awaits_round(e.id, e.asked_epoch)
       AND o.status IN ('pending', 'open') AND o.xmin::text = r.row_xmin AND o.ctid::text = r.row_ctid
     ORDER BY e.order_id
       FOR UPDATE OF o, e SKIP LOCKED
), row_written AS (
    UPDATE public.orders AS o
       SET status = 'rejected',
           reasoning = 'Rejected: ' || CASE WHEN coalesce(o.reasoning, '') = '' THEN r.sentence
                                            ELSE rtrim(r.sentence, '.') || '. Original reasoning: ' || o.reasoning END
      FROM refused AS r
     WHERE o.id = r.order_id
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'done', reason_code = r.code, reason = r.sentence, token = NULL, lease_until = NULL,
           changed_at = clock_timestamp()
      FROM refused AS r
     WHERE e.id = r.id
), event AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT 'rejected', order_id, account_id, jsonb_build_object('reason_code', code, 'reason', sentence) FROM refused
)
SELECT order_id FROM refused
