-- Queue depth and the age of the oldest entry by state, from the partial indexes only.
SELECT state, count(*) AS n, max(clock_timestamp() - changed_at) AS oldest FROM bridge.outbox
 WHERE state IN ('new', 'backoff') GROUP BY state
 UNION ALL
SELECT state, count(*), max(clock_timestamp() - changed_at) FROM bridge.outbox
 WHERE state IN ('sending', 'unknown') GROUP BY state
 UNION ALL
SELECT state, count(*), max(clock_timestamp() - changed_at) FROM bridge.outbox WHERE state = 'submitted' GROUP BY state
 UNION ALL
SELECT state, count(*), max(clock_timestamp() - changed_at) FROM bridge.outbox WHERE state = 'held' GROUP BY state
