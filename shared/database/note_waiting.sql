-- PROTOCOL 1: keep with an entry why it waits, for people. Written only where it is news, and never waited for: whoever holds the
-- entry is about to say something better. `changed_at` stays, it is since when the entry has been in its state.
-- $1 entry ids  $2 codes  $3 sentences
WITH waiting AS MATERIALIZED (
    SELECT e.id, r.code, r.sentence
      FROM unnest($1::bigint[], $2::text[], $3::text[]) AS r (entry_id, code, sentence)
      JOIN bridge.outbox AS e ON e.id = r.entry_id
     WHERE e.state IN ('new', 'backoff') AND (e.reason_code, e.reason) IS DISTINCT FROM (r.code, r.sentence)
     ORDER BY e.order_id
       FOR NO KEY UPDATE OF e SKIP LOCKED
)
UPDATE bridge.outbox AS e
   SET reason_code = w.code, reason = w.sentence
  FROM waiting AS w
 WHERE e.id = w.id
