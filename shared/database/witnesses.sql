-- DESIGN 6: orders of an account that the exchange had accepted in this epoch, the newest first: asked about, they tell whether a
-- testnet was wiped. Those so new that queries may lag behind them are left out.
-- $1 account  $2 market  $3 epoch  $4 most  $5 settled longer ago than
SELECT symbol, exchange_order_id::bigint AS exchange_order_id
  FROM bridge.attempt
 WHERE account_id = $1 AND market = $2 AND environment_epoch = $3 AND outcome = 'accepted' AND NOT conditional
   AND exchange_order_id ~ '^[0-9]+$' AND settled_at < clock_timestamp() - $5::interval
 ORDER BY claimed_at DESC
 LIMIT $4
