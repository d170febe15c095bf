-- The operator's list of positions: the ledger, and beside it what the bot's row shows. $1 all, not only open ones
-- $2 account (null: all)  $3 user (null: all)  $4 symbol (null: all)  $5 most
SELECT p.id, p.status, p.display_symbol AS symbol, p.market, p.side, p.size, p.entry_price, p.current_price,
       coalesce(r.unrealized_pnl, 0) AS unrealized_pnl, coalesce(r.unrealized_pnl_pct, 0) AS unrealized_pnl_percent,
       p.realized AS realized_pnl, p.fees, p.account_id, coalesce(x.label, '') AS account_label, p.user_id,
       p.strategy_id, p.opened_at, p.closed_at, p.bot_closed_at, r.id IS NOT NULL AS shown_to_bot,
       h.dust, h.unmatched
  FROM bridge.position AS p
  JOIN bridge.holding AS h ON h.id = p.holding_id
  LEFT JOIN public.positions AS r ON r.id = p.id
  LEFT JOIN public.exchange_accounts AS x ON x.id = p.account_id
 WHERE ($1::boolean OR p.status = 'open')
   AND ($2::uuid IS NULL OR p.account_id = $2::uuid)
   AND ($3::uuid IS NULL OR p.user_id = $3::uuid)
   AND ($4::text IS NULL OR p.symbol = bridge.key_symbol($4::text))
 ORDER BY p.status = 'open' DESC, p.opened_at DESC, p.id
 LIMIT $5::integer
