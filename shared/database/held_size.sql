-- DESIGN 5: the open spot position of one account, symbol and strategy.
SELECT size FROM bridge.position
 WHERE account_id = $1 AND market = 'spot' AND symbol = $2 AND strategy_id IS NOT DISTINCT FROM $3
   AND side = $4 AND status = 'open'
