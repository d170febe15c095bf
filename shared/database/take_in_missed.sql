-- PROTOCOL 1: the sweep takes in what the trigger missed. $1 most rows.
INSERT INTO bridge.outbox (order_id, user_id, account_id, strategy_id, market, symbol, side, reduces, parent_id,
                           statement_id, twin_key)
SELECT o.id, o.user_id, bridge.account_of(o.exchange_account_id, o.user_id, o.strategy_id), o.strategy_id, o.market_type::text, bridge.key_symbol(o.symbol),
       o.side::text, coalesce(o.reduce_only, false) OR (o.market_type::text = 'spot' AND o.side::text = 'sell'),
       o.parent_order_id, nextval('bridge.statement_id'),
       bridge.twin_key(o.user_id, o.exchange_account_id, o.market_type::text, o.symbol, o.side::text, o.type::text,
                       o.amount, o.price, o.stop_price)
  FROM public.orders AS o
 WHERE o.status = 'pending'
   -- a market or a side of a newer bot's is left to whoever understands it, and keeps no other row out
   AND o.market_type::text IN ('spot', 'futures') AND o.side::text IN ('buy', 'sell')
   AND NOT EXISTS (SELECT FROM bridge.outbox AS e WHERE e.order_id = o.id)
 ORDER BY o.created_at, o.id
 LIMIT $1
    ON CONFLICT (order_id) DO NOTHING
RETURNING order_id
