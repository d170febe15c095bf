-- PROTOCOL 1: rows that were changed after they were taken in name another account, symbol or side now; an order is sent on the
-- account its row names or not at all. $1 entries
UPDATE bridge.outbox AS e
   SET account_id = bridge.account_of(o.exchange_account_id, o.user_id, o.strategy_id), market = o.market_type::text,
       symbol = bridge.key_symbol(o.symbol), side = o.side::text, strategy_id = o.strategy_id,
       reduces = coalesce(o.reduce_only, false) OR (o.market_type::text = 'spot' AND o.side::text = 'sell')
  FROM public.orders AS o
 WHERE e.id = ANY ($1::bigint[]) AND e.state = 'new' AND o.id = e.order_id
   AND o.market_type::text IN ('spot', 'futures') AND o.side::text IN ('buy', 'sell')
RETURNING e.id
