-- PROTOCOL 6: lock row, entry and attempt of each finding, in the lock order (orders, outbox, attempts); last, and in one order,
-- the positions that told fills belong to, so that two transactions never wait for each other. What they say is read afterwards
-- (`read_lines`), by a statement that sees what was committed while this one waited.
-- $1 order ids  $2 attempt numbers  $3 keys of the positions
WITH line AS MATERIALIZED (
    SELECT o.id
      FROM unnest($1::uuid[], $2::smallint[]) AS f (order_id, number)
      JOIN public.orders  AS o ON o.id = f.order_id
      JOIN bridge.outbox  AS e ON e.order_id = f.order_id
      JOIN bridge.attempt AS a ON a.order_id = f.order_id AND a.number = f.number
     ORDER BY uuid_send(o.id)  -- in the order of ids, and not by walking an index of all of them
       FOR UPDATE OF o, e, a
)
SELECT pg_advisory_xact_lock(key)
  FROM (SELECT DISTINCT hashtextextended(k, 0) AS key FROM unnest($3::text[]) AS k ORDER BY 1) AS sorted
 WHERE (SELECT count(*) FROM line) > 0
