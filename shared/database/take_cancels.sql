-- PROTOCOL 9 and 6: orders the bot cancelled while they are live or unknown at the exchange, and what still rests of orders found
-- after they had been settled as not existing; marked as asked for, so that two replicas do not both ask within $1. $2 accounts
-- served (null: all). An unknown one is asked again after its deadline has passed. $3 statuses of an order that is not over.
WITH due AS (
    SELECT a.order_id, a.number
      FROM bridge.outbox AS e
      JOIN public.orders AS o ON o.id = e.order_id
      JOIN bridge.attempt AS a ON a.order_id = e.order_id AND a.number = e.attempts
     WHERE e.state IN ('submitted', 'unknown') AND o.status = 'canceled'
       AND ($2::uuid[] IS NULL OR e.account_id = ANY ($2))
     UNION
    SELECT a.order_id, a.number
      FROM bridge.attempt AS a
     WHERE a.late AND a.exchange_status = ANY ($3::text[])
       AND ($2::uuid[] IS NULL OR a.account_id = ANY ($2))
), wanted AS MATERIALIZED (
    SELECT a.order_id, a.number
      FROM due AS d
      JOIN bridge.attempt AS a ON a.order_id = d.order_id AND a.number = d.number
     WHERE a.cancel_sent_at IS NULL OR a.cancel_sent_at < clock_timestamp() - $1::interval
     ORDER BY a.order_id, a.number
     LIMIT 100
       FOR UPDATE OF a SKIP LOCKED
), marked AS (
    UPDATE bridge.attempt AS a SET cancel_sent_at = clock_timestamp()
      FROM wanted AS w
     WHERE a.order_id = w.order_id AND a.number = w.number
 RETURNING a.order_id, a.number, a.account_id, a.market, a.symbol, a.client_order_id, a.conditional
)
SELECT m.*, x.user_id AS account_user_id, x.exchange::text AS exchange, x.api_key_encrypted, x.secret_encrypted,
       coalesce(x.is_testnet, false) AS is_testnet, coalesce(x.is_active, false) AS account_active,
       x.xmin::text AS account_version
  FROM marked AS m
  JOIN public.exchange_accounts AS x ON x.id = m.account_id
