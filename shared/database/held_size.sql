-- DESIGN 5: what may still be sold of the open spot position of one account, symbol and strategy: less what orders at the exchange,
-- or unknown, may be selling of it already (PROTOCOL 11). $1 account  $2 symbol  $3 strategy  $4 side of the position
SELECT p.size - coalesce((SELECT sum(greatest(a.quantity, a.executed) - a.filled)
                            FROM bridge.attempt AS a
                           WHERE a.user_id = p.user_id AND a.live AND a.reserved = 0 AND a.account_id = p.account_id
                             AND a.market = p.market AND a.symbol = p.symbol
                             AND a.strategy_id IS NOT DISTINCT FROM p.strategy_id
                             AND a.side = CASE p.side WHEN 'long' THEN 'sell' ELSE 'buy' END), 0)
  FROM bridge.position AS p
 WHERE p.account_id = $1 AND p.market = 'spot' AND p.symbol = $2 AND p.strategy_id IS NOT DISTINCT FROM $3
   AND p.side = $4 AND p.status = 'open'
