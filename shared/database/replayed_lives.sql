-- Promise 4: all lives of one holding with what it opened with, and beside each what the bot's row says. $1 holding
SELECT p.id, p.number, p.side AS cycle_side, p.size, p.cost, p.entry_price, p.peak, p.exited, p.exit_value,
       p.realized AS cycle_realized, p.fees, p.last_price, p.opened_at, p.closed_at, p.status,
       p.bot_closed_at IS NOT NULL AS bot_closed, r.id IS NOT NULL AS has_row,
       r.size AS row_size, r.entry_price AS row_entry_price, r.current_price AS row_current_price,
       r.unrealized_pnl AS row_unrealized_pnl, r.unrealized_pnl_pct AS row_unrealized_pnl_pct,
       r.realized_pnl AS row_realized_pnl, r.status::text AS row_status, r.opened_at AS row_opened_at,
       r.closed_at AS row_closed_at
  FROM bridge.position AS p
  LEFT JOIN public.positions AS r ON r.id = p.id
 WHERE p.holding_id = $1
 ORDER BY p.number
