-- PROTOCOL 9: orders the bot cancelled while they are live or unknown at the exchange; marked as asked for, so that two
-- replicas do not both ask within $1. $2 accounts served (null: all). An unknown one is asked again after its deadline has passed.
WITH wanted AS MATERIALIZED (
    SELECT a.order_id, a.number
      FROM bridge.outbox AS e
      JOIN public.orders AS o ON o.id = e.order_id
      JOIN bridge.attempt AS a ON a.order_id = e.order_id AND a.number = e.attempts
     WHERE e.state IN ('submitted', 'unknown')
       AND ($2::uuid[] IS NULL OR e.account_id = ANY ($2))
       AND o.status = 'canceled'
       AND (a.cancel_sent_at IS NULL OR a.cancel_sent_at < clock_timestamp() - $1::interval)
     ORDER BY a.order_id
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
