-- Queue depth by state, from the partial indexes only.
SELECT state, count(*) AS n FROM bridge.outbox WHERE state IN ('new', 'backoff') GROUP BY state
 UNION ALL
SELECT state, count(*) FROM bridge.outbox WHERE state IN ('sending', 'unknown') GROUP BY state
 UNION ALL
SELECT state, count(*) FROM bridge.outbox WHERE state = 'submitted' GROUP BY state
 UNION ALL
SELECT state, count(*) FROM bridge.outbox WHERE state = 'held' GROUP BY state
