-- PROTOCOL 10: a later attempt was claimed only after the earlier ones were known not to be there. The history that knew it is lost,
-- the later attempt is at the exchange: so those before it that are unknown here are absent, and watched like all that are.
-- $1 order ids  $2 numbers of forgotten attempts  $3 accounts
WITH overtaken AS (
    UPDATE bridge.attempt AS a
       SET outcome = 'absent', reason_code = 'overtaken', settled_at = clock_timestamp(),
           watched_until = clock_timestamp() + interval '24 hours',
           reason = 'the exchange has a later attempt of this row, which was claimed when this one was known not to be there'
      FROM unnest($1::uuid[], $2::smallint[], $3::uuid[]) AS r (order_id, number, account_id)
     WHERE a.order_id = r.order_id AND a.account_id = r.account_id AND a.number < r.number
       AND (a.outcome IS NULL OR a.outcome = 'unknown')
       AND NOT EXISTS (SELECT FROM bridge.attempt AS k WHERE k.order_id = r.order_id AND k.number = r.number)
 RETURNING a.order_id, a.account_id, a.number, a.reason_code, a.reason
)
INSERT INTO bridge.event (kind, order_id, account_id, number, data)
SELECT 'absent', order_id, account_id, number, jsonb_build_object('reason_code', reason_code, 'reason', reason)
  FROM overtaken
