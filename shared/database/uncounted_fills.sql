-- Promise 4: fills that are stored and not counted into a position, though they should be (`new_fills` counts them); each is
-- counted in the transaction that stores it, so there are none. $1 account (null: all)  $2 symbol (null: all)
SELECT f.account_id, f.market, f.symbol, count(*) AS fills
  FROM bridge.fill AS f
 WHERE NOT f.applied
   AND ($1::uuid IS NULL OR f.account_id = $1::uuid)
   AND ($2::text IS NULL OR f.symbol = bridge.key_symbol($2::text))
   AND (EXISTS (SELECT FROM bridge.attempt AS a WHERE a.order_id = f.order_id AND a.number = f.number)
        OR (f.market = 'futures'
            AND EXISTS (SELECT FROM bridge.holding AS h
                         WHERE h.account_id = f.account_id AND h.market = f.market AND h.symbol = f.symbol
                           AND h.environment_epoch = f.environment_epoch AND h.position_side = f.position_side)))
 GROUP BY f.account_id, f.market, f.symbol
 ORDER BY f.account_id, f.market, f.symbol
