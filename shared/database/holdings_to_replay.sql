-- Promise 4: the holdings whose fills are to be folded again, one after the other; what a wiped testnet took is not there again. $1 account (null: all)  $2 symbol (null: all)
SELECT h.id, h.account_id, h.market, h.symbol
  FROM bridge.holding AS h
 WHERE h.wiped_at IS NULL AND ($1::uuid IS NULL OR h.account_id = $1::uuid)
   AND ($2::text IS NULL OR h.symbol = bridge.key_symbol($2::text))
 ORDER BY h.account_id, h.market, h.symbol, h.environment_epoch, h.id
