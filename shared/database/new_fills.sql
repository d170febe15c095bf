-- DESIGN 6: the fills not counted yet, each with the holding it belongs to, that holding's open life, and the row of the bot's
-- that was there before us. On spot an order we did not place moves no position of ours; on futures it does.
-- $1 accounts  $2 markets  $3 symbols
SELECT f.account_id, f.market, f.environment_epoch, f.symbol, f.exchange_order_id, f.trade_id, f.order_id,
       f.client_order_id, f.side, f.position_side, f.price, f.quantity, f.quote, f.commission, f.commission_asset,
       f.commission_in_quote, f.realized, f.is_maker, f.traded_at, f.strategy_id, o.strategy_id AS order_strategy_id,
       coalesce(h.user_id, x.user_id) AS user_id, coalesce(o.reasoning, '') AS reasoning,
       coalesce(h.base_asset, a.base_asset) AS base_asset, coalesce(h.quote_asset, a.quote_asset) AS quote_asset,
       coalesce(h.dust_below, a.lot_step) AS dust_below,
       h.id AS holding_id, h.cycles, h.dust, h.dust_cost, h.unmatched, h.unvalued, h.through_at, h.through_trade, h.through_order,
       p.id AS position_id, p.number, p.side AS cycle_side, p.size, p.cost, p.entry_price, p.peak, p.exited,
       p.exit_value, p.realized AS cycle_realized, p.fees, p.last_price, p.opened_at, p.closed_at,
       b.id AS opening_id, b.side AS opening_side, b.size AS opening_size, b.entry_price AS opening_price,
       b.opened_at AS opening_at
  FROM unnest($1::uuid[], $2::text[], $3::text[]) AS k (account_id, market, symbol)
  JOIN bridge.fill AS f USING (account_id, market, symbol)
  JOIN public.exchange_accounts AS x ON x.id = f.account_id
  LEFT JOIN public.orders AS o ON o.id = f.order_id
  LEFT JOIN bridge.attempt AS a ON a.order_id = f.order_id AND a.number = f.number
  LEFT JOIN bridge.holding AS h
         ON h.account_id = f.account_id AND h.market = f.market AND h.symbol = f.symbol
        AND h.environment_epoch = f.environment_epoch AND h.position_side = f.position_side
        AND coalesce(h.strategy_id, '00000000-0000-0000-0000-000000000000')
            = coalesce(f.strategy_id, '00000000-0000-0000-0000-000000000000')
  LEFT JOIN bridge.position AS p ON p.holding_id = h.id AND p.number = h.cycles AND p.closed_at IS NULL
  LEFT JOIN LATERAL (
       SELECT r.id, r.side::text AS side, r.size, r.entry_price, coalesce(r.opened_at, r.updated_at, now()) AS opened_at
         FROM public.positions AS r
        WHERE h.id IS NULL AND r.status = 'open' AND r.size > 0 AND r.user_id = x.user_id
          AND r.exchange_account_id = f.account_id AND r.market_type::text = f.market
          AND bridge.key_symbol(r.symbol) = f.symbol
          AND (f.market = 'futures' OR (r.side = 'long' AND r.strategy_id IS NOT DISTINCT FROM f.strategy_id))
          AND (f.position_side = 'BOTH' OR upper(r.side::text) = f.position_side)
          AND NOT EXISTS (SELECT FROM bridge.position AS ours WHERE ours.id = r.id)
        ORDER BY r.opened_at, r.id
        LIMIT 1) AS b ON true
 WHERE NOT f.applied
   AND (a.order_id IS NOT NULL OR (f.market = 'futures' AND h.id IS NOT NULL))
 ORDER BY f.traded_at, f.trade_id
