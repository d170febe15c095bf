-- DESIGN 6: open positions of the ledger, also those the bot closed in its own table. $1 positions (null: all)  $2 scope  $3 key
SELECT p.id, p.user_id, p.account_id, p.strategy_id, p.market, p.display_symbol AS symbol, p.side, p.size,
       p.bot_closed_at IS NOT NULL AS closed_by_bot,
       EXISTS (SELECT FROM bridge.outbox AS e JOIN public.orders AS o ON o.id = e.order_id
                WHERE e.account_id = p.account_id AND e.market = p.market AND e.symbol = p.symbol AND e.state <> 'done'
                  AND e.strategy_id IS NOT DISTINCT FROM p.strategy_id AND e.reduces
                  AND o.side::text = CASE p.side WHEN 'long' THEN 'sell' ELSE 'buy' END) AS being_reduced
  FROM bridge.position AS p
 WHERE p.status = 'open'
   AND ($1::uuid[] IS NULL OR p.id = ANY ($1::uuid[]))
   AND ($2::text = 'global' OR ($2::text = 'account' AND p.account_id::text = $3::text)
        OR ($2::text = 'symbol' AND p.symbol = bridge.key_symbol($3::text)))
 ORDER BY p.opened_at, p.id
