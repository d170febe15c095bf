-- Forget some orders that have been over for long, with all that is only audit by now. Fills and positions stay: they are the
-- ledger. Whatever still lacks a fill, or is watched, stays too. $1 older than  $2 most
WITH gone AS MATERIALIZED (
    SELECT e.order_id
      FROM bridge.outbox AS e
     WHERE e.state = 'done' AND e.changed_at < clock_timestamp() - $1::interval
       AND NOT EXISTS (SELECT FROM bridge.attempt AS a
                        WHERE a.order_id = e.order_id AND (a.executed > a.filled OR a.watched_until > clock_timestamp()))
       AND NOT EXISTS (SELECT FROM bridge.fill AS f WHERE f.order_id = e.order_id AND NOT f.applied)
     ORDER BY e.id
     LIMIT $2::integer
       FOR UPDATE SKIP LOCKED
), entry AS (
    DELETE FROM bridge.outbox AS t USING gone AS g WHERE t.order_id = g.order_id RETURNING to_jsonb(t) AS line
), attempt AS (
    DELETE FROM bridge.attempt AS t USING gone AS g WHERE t.order_id = g.order_id RETURNING to_jsonb(t) - 'token' AS line
), evidence AS (
    DELETE FROM bridge.evidence AS t USING gone AS g WHERE t.order_id = g.order_id RETURNING to_jsonb(t) AS line
), question AS (
    DELETE FROM bridge.question AS t USING gone AS g WHERE t.order_id = g.order_id RETURNING to_jsonb(t) AS line
), event AS (
    DELETE FROM bridge.event AS t USING gone AS g WHERE t.order_id = g.order_id RETURNING to_jsonb(t) AS line
)
SELECT 'outbox' AS of, line FROM entry UNION ALL SELECT 'attempt', line FROM attempt
 UNION ALL SELECT 'evidence', line FROM evidence UNION ALL SELECT 'question', line FROM question
 UNION ALL SELECT 'event', line FROM event
