-- PROTOCOL 6: what is known of attempts that somebody tells of, each with its row and its entry; and of the executions told with
-- them: as they are stored already (no price: not yet), each with the state of the holding it belongs to (DESIGN 6): that holding's
-- open life, the row of the bot's that was there before us, and whether stored fills of it wait to be counted first. The versions
-- of what was read let `write_settled` see whether it still stands.
-- $1 order ids  $2 attempt numbers  $3 the exchange's order ids  $4 trade ids (null: nothing executed)  $5 position sides
SELECT l.*,
       (SELECT max(h.id) FROM bridge.epoch AS h
         WHERE h.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
           AND h.postmaster_start = pg_postmaster_start_time()
           AND NOT EXISTS (SELECT FROM bridge.epoch AS newer WHERE newer.id > h.id)) AS live_epoch,
       EXISTS (SELECT FROM bridge.attempt AS other
                WHERE other.order_id = l.line_order_id AND other.number <> l.line_number
                  AND (other.outcome IS NULL OR other.outcome IN ('unknown', 'accepted'))) AS another_attempt_live,
       f.order_id, f.client_order_id, f.side, f.price, f.quantity, f.quote, f.commission, f.commission_asset,
       f.commission_in_quote, f.realized, f.is_maker, f.traded_at,
       coalesce(h.user_id, x.user_id) AS user_id, coalesce(h.base_asset, l.line_base_asset) AS base_asset,
       coalesce(h.quote_asset, l.line_quote_asset) AS quote_asset, coalesce(h.dust_below, l.lot_step) AS dust_below,
       h.id AS holding_id, h.xmin::text AS holding_version,
       h.cycles, h.dust, h.dust_cost, h.unmatched, h.unvalued, h.through_at, h.through_trade, h.through_order,
       p.id AS position_id, p.number, p.side AS cycle_side, p.size, p.cost, p.entry_price, p.peak, p.exited,
       p.exit_value, p.realized AS cycle_realized, p.fees, p.last_price, p.opened_at, p.closed_at,
       b.id AS opening_id, b.side AS opening_side, b.size AS opening_size, b.entry_price AS opening_price,
       b.opened_at AS opening_at,
       l.trade_id IS NOT NULL
       AND EXISTS (SELECT FROM bridge.fill AS w
                    WHERE NOT w.applied AND w.account_id = l.account_id AND w.market = l.market AND w.symbol = l.symbol
                      AND (w.order_id IS NOT NULL OR (w.market = 'futures' AND h.id IS NOT NULL))) AS others_wait
  -- One relation, so that fills and holdings are asked for by all of their key: joined to several, a plan made for empty tables
  -- takes part of it for enough, and walks through all fills of a symbol.
  FROM (SELECT o.id AS line_order_id, a.number AS line_number, a.account_id, a.market, a.symbol,
               a.client_order_id AS line_client_order_id, a.base_asset AS line_base_asset, a.quote_asset AS line_quote_asset,
               a.lot_step, o.status::text AS order_status, coalesce(o.reasoning, '') AS reasoning,
               e.state AS entry_state, e.attempts AS entry_attempts, e.counted, e.has_evidence, e.token,
               a.outcome, coalesce(a.exchange_order_id, '') AS line_exchange_order_id,
               coalesce(a.exchange_status, '') AS exchange_status, a.executed, a.executed_quote, a.filled, a.fee, a.fee_asset,
               a.fee_in_quote, a.environment_epoch, a.reported_at, o.filled_at, o.strategy_id AS order_strategy_id, a.late,
               e.trace, o.xmin::text || ' ' || e.xmin::text || ' ' || a.xmin::text AS line_version,
               t.exchange_order_id, t.trade_id, t.position_side,
               -- the exchange keeps one position for all strategies on futures
               CASE a.market WHEN 'spot' THEN o.strategy_id END AS strategy_id
          FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::bigint[], $5::text[])
               AS t (order_id, number, exchange_order_id, trade_id, position_side)
          JOIN public.orders  AS o ON o.id = t.order_id
          JOIN bridge.outbox  AS e ON e.order_id = t.order_id
          JOIN bridge.attempt AS a ON a.order_id = t.order_id AND a.number = t.number
        OFFSET 0) AS l
  LEFT JOIN public.exchange_accounts AS x ON x.id = l.account_id
  LEFT JOIN bridge.fill AS f
         ON f.account_id = l.account_id AND f.market = l.market AND f.environment_epoch = l.environment_epoch
        AND f.symbol = l.symbol AND f.exchange_order_id = l.exchange_order_id AND f.trade_id = l.trade_id
  LEFT JOIN bridge.holding AS h
         ON l.trade_id IS NOT NULL AND h.account_id = l.account_id AND h.market = l.market AND h.symbol = l.symbol
        AND h.environment_epoch = l.environment_epoch AND h.position_side = l.position_side
        AND coalesce(h.strategy_id, '00000000-0000-0000-0000-000000000000')
            = coalesce(l.strategy_id, '00000000-0000-0000-0000-000000000000')
  -- The open life is the last. Asked for by number and end it is found by its key, whatever was there at planning; by status it
  -- would be looked for among all open ones.
  LEFT JOIN bridge.position AS p ON p.holding_id = h.id AND p.number = h.cycles AND p.closed_at IS NULL
  LEFT JOIN LATERAL (
       SELECT r.id, r.side::text AS side, r.size, r.entry_price, coalesce(r.opened_at, r.updated_at, now()) AS opened_at
         FROM public.positions AS r
        WHERE l.trade_id IS NOT NULL AND h.id IS NULL AND r.status = 'open' AND r.size > 0 AND r.user_id = x.user_id
          AND r.exchange_account_id = l.account_id AND r.market_type::text = l.market
          AND bridge.key_symbol(r.symbol) = l.symbol
          AND (l.market = 'futures' OR (r.side = 'long' AND r.strategy_id IS NOT DISTINCT FROM l.strategy_id))
          AND (l.position_side = 'BOTH' OR upper(r.side::text) = l.position_side)
          AND NOT EXISTS (SELECT FROM bridge.position AS ours WHERE ours.id = r.id)
        ORDER BY r.opened_at, r.id
        LIMIT 1) AS b ON true
