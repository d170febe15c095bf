-- Forget events that are about no order, and orders of others, that are old. $1 older than  $2 most of each
WITH event AS (
    DELETE FROM bridge.event AS t
     WHERE t.id IN (SELECT id FROM bridge.event
                     WHERE order_id IS NULL AND at < clock_timestamp() - $1::interval ORDER BY id LIMIT $2::integer)
 RETURNING to_jsonb(t) AS line
), external AS (
    DELETE FROM bridge.external_order AS t
     WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM bridge.external_order
                                WHERE changed_at < clock_timestamp() - $1::interval LIMIT $2::integer))
 RETURNING to_jsonb(t) AS line
)
SELECT 'event' AS of, line FROM event UNION ALL SELECT 'external_order', line FROM external
