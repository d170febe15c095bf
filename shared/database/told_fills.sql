-- DESIGN 6: told executions as they are stored already (no price: not yet), each with the state of the holding it belongs to: that
-- holding's open life, the row of the bot's that was there before us, and whether stored fills of it wait to be counted first.
-- The lines of their orders and the keys of the positions are locked.
-- $1 accounts  $2 markets  $3 epochs  $4 symbols  $5 the exchange's order ids  $6 trade ids  $7 strategies  $8 position sides
SELECT k.account_id, k.market, k.environment_epoch, k.symbol, k.exchange_order_id, k.trade_id, k.strategy_id, k.position_side,
       f.order_id, f.client_order_id, f.side, f.price, f.quantity, f.quote, f.commission, f.commission_asset,
       f.commission_in_quote, f.realized, f.is_maker, f.traded_at,
       coalesce(h.user_id, x.user_id) AS user_id, h.base_asset, h.quote_asset, h.dust_below,
       h.id AS holding_id, h.cycles, h.dust, h.dust_cost, h.unmatched, h.unvalued, h.through_at, h.through_trade, h.through_order,
       p.id AS position_id, p.number, p.side AS cycle_side, p.size, p.cost, p.entry_price, p.peak, p.exited,
       p.exit_value, p.realized AS cycle_realized, p.fees, p.last_price, p.opened_at, p.closed_at,
       b.id AS opening_id, b.side AS opening_side, b.size AS opening_size, b.entry_price AS opening_price,
       b.opened_at AS opening_at,
       EXISTS (SELECT FROM bridge.fill AS w
                WHERE NOT w.applied AND w.account_id = k.account_id AND w.market = k.market AND w.symbol = k.symbol
                  AND (w.order_id IS NOT NULL OR (w.market = 'futures' AND h.id IS NOT NULL))) AS others_wait
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::uuid[], $8::text[])
       AS k (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id, strategy_id, position_side)
  JOIN public.exchange_accounts AS x ON x.id = k.account_id
  LEFT JOIN bridge.fill AS f USING (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id)
  LEFT JOIN bridge.holding AS h
         ON h.account_id = k.account_id AND h.market = k.market AND h.symbol = k.symbol
        AND h.environment_epoch = k.environment_epoch AND h.position_side = k.position_side
        AND coalesce(h.strategy_id, '00000000-0000-0000-0000-000000000000')
            = coalesce(k.strategy_id, '00000000-0000-0000-0000-000000000000')
  -- The open life is the last. Asked for by number and end it is found by its key, whatever was there at planning; by status it
  -- would be looked for among all open ones.
  LEFT JOIN bridge.position AS p ON p.holding_id = h.id AND p.number = h.cycles AND p.closed_at IS NULL
  LEFT JOIN LATERAL (
       SELECT r.id, r.side::text AS side, r.size, r.entry_price, coalesce(r.opened_at, r.updated_at, now()) AS opened_at
         FROM public.positions AS r
        WHERE h.id IS NULL AND r.status = 'open' AND r.size > 0 AND r.user_id = x.user_id
          AND r.exchange_account_id = k.account_id AND r.market_type::text = k.market
          AND bridge.key_symbol(r.symbol) = k.symbol
          AND (k.market = 'futures' OR (r.side = 'long' AND r.strategy_id IS NOT DISTINCT FROM k.strategy_id))
          AND (k.position_side = 'BOTH' OR upper(r.side::text) = k.position_side)
          AND NOT EXISTS (SELECT FROM bridge.position AS ours WHERE ours.id = r.id)
        ORDER BY r.opened_at, r.id
        LIMIT 1) AS b ON true
