-- What became of some attempts. $1 orders  $2 numbers
SELECT a.order_id, a.number, e.symbol, e.side, e.state, coalesce(a.outcome, 'none yet') AS outcome, o.status::text AS status,
       coalesce(a.reason, '') AS reason
  FROM unnest($1::uuid[], $2::smallint[]) AS k (order_id, number)
  JOIN bridge.attempt AS a USING (order_id, number)
  JOIN bridge.outbox AS e ON e.order_id = a.order_id
  JOIN public.orders AS o ON o.id = a.order_id
 ORDER BY e.id
