-- DESIGN 6: the markets and environments to be ready for: spot of every active account, futures of those that somebody follows there.
SELECT DISTINCT m.market, coalesce(x.is_testnet, false) AS is_testnet
  FROM public.exchange_accounts AS x
 CROSS JOIN (VALUES ('spot'), ('futures')) AS m (market)
 WHERE x.exchange = 'binance' AND x.is_active
   AND (m.market = 'spot' OR EXISTS (SELECT FROM bridge.stream AS s WHERE s.account_id = x.id AND s.market = m.market))
