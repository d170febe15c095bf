-- DESIGN 4: one transaction at a time counts fills into the positions of a key; taken after the rows of
-- orders and before any fill is written, in one order, so that two transactions never wait for each other. $1 keys as text
SELECT pg_advisory_xact_lock(key)
  FROM (SELECT DISTINCT hashtextextended(k, 0) AS key FROM unnest($1::text[]) AS k ORDER BY 1) AS sorted
