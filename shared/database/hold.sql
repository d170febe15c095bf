-- PROTOCOL 1: hold rows for their owner's word; the row itself is not touched.
-- $1 entry ids  $2 xmin  $3 ctid  $4 codes  $5 sentences
WITH held AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, r.code, r.sentence
      FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
           AS r (entry_id, row_xmin, row_ctid, code, sentence)
      JOIN bridge.outbox AS e ON e.id = r.entry_id
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.state IN ('new', 'backoff') AND NOT e.has_evidence
       AND o.xmin::text = r.row_xmin AND o.ctid::text = r.row_ctid
     ORDER BY e.order_id
       FOR UPDATE OF o, e SKIP LOCKED
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'held', reason_code = h.code, reason = h.sentence, changed_at = clock_timestamp()
      FROM held AS h
     WHERE e.id = h.id
), event AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT 'held', order_id, account_id, jsonb_build_object('reason_code', code, 'reason', sentence) FROM held
)
SELECT order_id FROM held
