-- PROTOCOL 10: rows with attempts this history has forgotten, locked before anybody looks at what is known of them: two processes
-- may be told of the same order at the same moment, and only a statement begun after the lock sees what the other has written.
-- $1 orders
SELECT o.id
  FROM public.orders AS o
  JOIN bridge.outbox AS e ON e.order_id = o.id
 WHERE o.id = ANY ($1::uuid[])
 ORDER BY o.id
   FOR UPDATE OF o, e
