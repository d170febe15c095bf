-- DESIGN 6: holdings with their open lives, as `new_fills` shows them, for folding again. $1 holdings
SELECT h.account_id, h.market, h.environment_epoch, h.symbol, h.strategy_id, h.position_side, h.user_id, h.base_asset,
       h.quote_asset, h.dust_below, h.id AS holding_id, h.cycles, h.dust, h.dust_cost, h.unmatched, h.unvalued,
       h.through_at, h.through_trade, h.through_order, h.opening_id, h.opening_side, h.opening_size, h.opening_price,
       h.opening_at, p.id AS position_id, p.number, p.side AS cycle_side, p.size, p.cost, p.entry_price, p.peak, p.exited,
       p.exit_value, p.realized AS cycle_realized, p.fees, p.last_price, p.opened_at, p.closed_at
  FROM bridge.holding AS h
  LEFT JOIN bridge.position AS p ON p.holding_id = h.id AND p.number = h.cycles AND p.closed_at IS NULL
 WHERE h.id = ANY ($1::uuid[])
