-- `bridge top`: what of the exchange's limits is leased in the window that runs now, the fullest first. A key is shown by the
-- beginning of its hash. $1 most
SELECT r.scope, left(r.key, 40) AS key, r.kind, r.interval_ms, r.granted, r.ceiling
  FROM bridge.rate AS r
 WHERE (r.window_no + 1) * r.interval_ms > extract(epoch FROM clock_timestamp()) * 1000
 ORDER BY r.granted::numeric / greatest(r.ceiling, 1) DESC, r.scope, r.key, r.kind, r.interval_ms
 LIMIT $1::integer
