-- DESIGN 4: the oldest id of the last $1, or the next id when nothing is that young: index scan from the newest end.
SELECT coalesce(
    (SELECT min(id) FROM (SELECT id, created_at FROM bridge.outbox ORDER BY id DESC LIMIT 50000) AS newest
      WHERE created_at > clock_timestamp() - $1::interval),
    (SELECT max(id) FROM bridge.outbox) + 1, 0)
