-- The fills of an order that are not in its strategy's books yet, with the position they moved; what was there before the
-- option was switched on is not booked. $1 order
SELECT f.account_id, f.environment_epoch, f.symbol, f.exchange_order_id, f.trade_id, f.side, f.quote, f.commission,
       f.commission_asset, f.commission_in_quote, a.base_asset, o.symbol AS shown_symbol, o.user_id,
       (SELECT r.id
          FROM bridge.holding AS h
          JOIN bridge.position AS p ON p.holding_id = h.id
          JOIN public.positions AS r ON r.id = p.id
         WHERE h.account_id = f.account_id AND h.market = f.market AND h.symbol = f.symbol
           AND h.environment_epoch = f.environment_epoch AND h.strategy_id = f.strategy_id AND p.opened_at <= f.traded_at
         ORDER BY p.number DESC LIMIT 1) AS position_id
  FROM bridge.fill AS f
  JOIN bridge.attempt AS a ON a.order_id = f.order_id AND a.number = f.number
  JOIN public.orders AS o ON o.id = f.order_id
  JOIN bridge.feed_reader AS r ON r.name = 'strategy_books' AND f.stored_at >= r.began
 WHERE f.order_id = $1 AND f.market = 'spot' AND f.strategy_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM bridge.strategy_booked AS b
                    WHERE b.account_id = f.account_id AND b.environment_epoch = f.environment_epoch
                      AND b.symbol = f.symbol AND b.exchange_order_id = f.exchange_order_id AND b.trade_id = f.trade_id)
 ORDER BY f.traded_at, f.trade_id
