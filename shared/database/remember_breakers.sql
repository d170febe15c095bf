-- DESIGN 5: remember every breaker the bot has tripped; the bot un-trips its row by accident. A new trip of a user replaces
-- his old one, cleared or not. A reset_at that lies before the trip is left over from an earlier day and ends nothing.
INSERT INTO bridge.breaker AS b (user_id, tripped_at, reason, reset_at)
SELECT c.user_id, coalesce(c.triggered_at, c.reset_at, '-infinity'), coalesce(c.trigger_reason, ''),
       CASE WHEN c.triggered_at IS NULL OR c.reset_at > c.triggered_at THEN c.reset_at END
  FROM public.circuit_breaker_states AS c
 WHERE c.is_triggered
    ON CONFLICT (user_id) DO UPDATE
   SET tripped_at = excluded.tripped_at, reason = excluded.reason, reset_at = excluded.reset_at,
       seen_at = clock_timestamp(), cleared_at = NULL, cleared_by = NULL
 WHERE b.tripped_at < excluded.tripped_at
RETURNING user_id, reason
