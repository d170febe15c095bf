-- DESIGN 6: end orders that went with a wiped testnet. What filled stays filled; what the exchange had reported beyond our fills can
-- never be learned any more, so it is told and given up. A row the bot cancelled stays cancelled.
-- $1 rows  $2 attempt numbers  $3 why, for people
WITH gone AS MATERIALIZED (
    SELECT o.id, a.number, a.account_id, e.state, o.status::text AS status, a.executed - a.filled AS unaccounted
      FROM unnest($1::uuid[], $2::smallint[]) AS g (order_id, number)
      JOIN public.orders AS o ON o.id = g.order_id
      JOIN bridge.outbox AS e ON e.order_id = g.order_id AND e.attempts = g.number
      JOIN bridge.attempt AS a ON a.order_id = g.order_id AND a.number = g.number
     WHERE e.state IN ('submitted', 'unknown') OR (e.state = 'done' AND a.executed > a.filled)
     ORDER BY o.id
       FOR UPDATE OF o, e, a
), shown AS (
    UPDATE public.orders AS o
       SET status = 'expired',
           reasoning = concat_ws(' Original reasoning: ', 'Expired: ' || $3::text, nullif(o.reasoning, ''))
      FROM gone AS g
     WHERE o.id = g.id AND g.state <> 'done' AND g.status IN ('pending', 'open', 'partial')
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'done', reason_code = 'environment_wiped', reason = $3, token = NULL, lease_until = NULL,
           changed_at = clock_timestamp()
      FROM gone AS g
     WHERE e.order_id = g.id AND g.state <> 'done'
), attempt AS (
    UPDATE bridge.attempt AS a
       SET outcome = CASE a.outcome WHEN 'accepted' THEN a.outcome ELSE 'absent' END,
           exchange_status = CASE WHEN a.outcome = 'accepted' AND g.state <> 'done' THEN 'EXPIRED' ELSE a.exchange_status END,
           executed = a.filled, settled_at = coalesce(a.settled_at, clock_timestamp()),
           reason_code = 'environment_wiped', reason = $3
      FROM gone AS g
     WHERE a.order_id = g.id AND a.number = g.number
)
INSERT INTO bridge.event (kind, order_id, account_id, number, data)
SELECT CASE state WHEN 'done' THEN 'gap_given_up' ELSE 'expired' END, id, account_id, number,
       jsonb_build_object('reason_code', 'environment_wiped', 'reason', $3::text, 'unaccounted', unaccounted)
  FROM gone
 ORDER BY id
RETURNING order_id
