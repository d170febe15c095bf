-- How much a prune would forget. $1 older than
SELECT (SELECT count(*) FROM bridge.outbox WHERE state = 'done' AND changed_at < clock_timestamp() - $1::interval) AS orders,
       (SELECT count(*) FROM bridge.event WHERE order_id IS NULL AND at < clock_timestamp() - $1::interval) AS events,
       (SELECT count(*) FROM bridge.external_order WHERE changed_at < clock_timestamp() - $1::interval) AS external_orders
