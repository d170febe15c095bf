-- What keeps orders from being sent: switches of operators, pauses by the exchange's word, breakers of the bot.
SELECT CASE WHEN c.halted AND c.reduce_only THEN 'halt, reduce-only' WHEN c.halted THEN 'halt' ELSE 'reduce-only' END AS kind,
       c.scope, c.key, c.reason, c.set_by, c.set_at, NULL::timestamptz AS until
  FROM bridge.control AS c
 WHERE c.halted OR c.reduce_only
 UNION ALL
SELECT 'pause', p.scope, p.key, p.reason, 'exchange', p.set_at, p.until
  FROM bridge.pause AS p
 WHERE p.until IS NULL OR p.until > clock_timestamp()
 UNION ALL
SELECT 'breaker', 'user', b.user_id::text, b.reason, 'bot', b.seen_at, b.reset_at
  FROM bridge.breaker AS b
 WHERE b.cleared_at IS NULL AND (b.reset_at IS NULL OR b.reset_at > clock_timestamp())
 UNION ALL
SELECT 'breaker', 'user', c.user_id::text, coalesce(c.trigger_reason, ''), 'bot',
       coalesce(c.triggered_at, c.updated_at), c.reset_at
  FROM public.circuit_breaker_states AS c
 WHERE bridge.breaker_reason(c.user_id) IS NOT NULL
   AND NOT EXISTS (SELECT FROM bridge.breaker AS b
                    WHERE b.user_id = c.user_id AND b.cleared_at IS NULL
                      AND (b.reset_at IS NULL OR b.reset_at > clock_timestamp()))
 ORDER BY 6
