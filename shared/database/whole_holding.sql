-- DESIGN 6: all fills of one holding, for folding again when one came late. $1 holding
SELECT f.account_id, f.market, f.environment_epoch, f.symbol, f.exchange_order_id, f.trade_id, f.order_id,
       f.client_order_id, f.side, f.position_side, f.price, f.quantity, f.quote, f.commission, f.commission_asset,
       f.commission_in_quote, f.realized, f.is_maker, f.traded_at
  FROM bridge.holding AS h
  JOIN bridge.fill AS f
    ON f.account_id = h.account_id AND f.market = h.market AND f.symbol = h.symbol
   AND f.environment_epoch = h.environment_epoch AND f.position_side = h.position_side
   AND f.strategy_id IS NOT DISTINCT FROM h.strategy_id
 WHERE h.id = $1
   AND (f.order_id IS NOT NULL OR f.market = 'futures')
