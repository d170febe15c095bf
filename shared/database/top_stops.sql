-- `bridge top`: what keeps orders from being sent now: halts, reduce-only switches, pauses.
SELECT CASE WHEN c.halted THEN 'halted' ELSE 'reduce only' END AS what, c.scope, c.key, c.reason, NULL::timestamptz AS until
  FROM bridge.control AS c WHERE c.halted OR c.reduce_only
 UNION ALL
SELECT 'paused', p.scope, p.key, p.reason, p.until
  FROM bridge.pause AS p WHERE p.until IS NULL OR p.until > clock_timestamp()
 ORDER BY 1, 2, 3
