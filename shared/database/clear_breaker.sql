-- DESIGN 5: an operator clears a trip; the bot's row may go on showing it. $1 user  $2 who  $3 why
WITH trip AS (
    SELECT $1::uuid AS user_id, coalesce(b.tripped_at, c.triggered_at, c.reset_at, '-infinity') AS tripped_at,
           coalesce(b.reason, c.trigger_reason, '') AS reason, coalesce(b.reset_at, c.reset_at) AS reset_at
      FROM (SELECT bridge.breaker_reason($1::uuid) AS reason) AS now
      LEFT JOIN bridge.breaker AS b ON b.user_id = $1::uuid AND b.cleared_at IS NULL
      LEFT JOIN public.circuit_breaker_states AS c ON c.user_id = $1::uuid
     WHERE now.reason IS NOT NULL
), cleared AS (
    INSERT INTO bridge.breaker AS b (user_id, tripped_at, reason, reset_at, cleared_at, cleared_by)
    SELECT user_id, tripped_at, reason, reset_at, clock_timestamp(), $2::text FROM trip
        ON CONFLICT (user_id) DO UPDATE
       SET tripped_at = excluded.tripped_at, reason = excluded.reason, reset_at = excluded.reset_at,
           cleared_at = excluded.cleared_at, cleared_by = excluded.cleared_by
 RETURNING b.user_id, b.reason
), told AS (
    INSERT INTO bridge.event (kind, data)
    SELECT 'breaker_cleared', jsonb_build_object('user_id', user_id, 'was', reason, 'by', $2::text, 'why', $3::text)
      FROM cleared
)
SELECT user_id, reason, pg_notify('bridge_orders', '')::text AS notified FROM cleared
