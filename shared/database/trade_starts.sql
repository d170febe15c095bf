-- DESIGN 6: the symbols of an account we keep futures positions of, and from which trade on there may be trades of strangers we
-- missed: the first of the open life, else the one after the last we know. $1 account  $2 environment epoch
SELECT h.symbol, h.base_asset, h.quote_asset,
       coalesce((SELECT min(f.trade_id)
                   FROM bridge.position AS p
                   JOIN bridge.fill AS f
                     ON f.account_id = h.account_id AND f.market = 'futures' AND f.symbol = h.symbol
                    AND f.environment_epoch = h.environment_epoch AND f.traded_at >= p.opened_at
                  WHERE p.holding_id = h.id AND p.status = 'open'),
                h.through_trade + 1) AS from_id,
       EXISTS (SELECT FROM bridge.position AS p WHERE p.holding_id = h.id AND p.status = 'open') AS is_open
  FROM bridge.holding AS h
 WHERE h.account_id = $1 AND h.market = 'futures' AND h.environment_epoch = $2 AND h.through_trade IS NOT NULL
