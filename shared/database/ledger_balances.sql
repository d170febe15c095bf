-- DESIGN 6: what our fills of an account come to in each asset, fees included, and what its open positions hold of it.
-- $1 account  $2 environment epoch
WITH pair AS (
    SELECT DISTINCT symbol, base_asset, quote_asset FROM bridge.holding
     WHERE account_id = $1 AND market = 'spot' AND environment_epoch = $2
), flow AS (
    SELECT v.asset, v.amount
      FROM bridge.fill AS f
      JOIN pair AS p USING (symbol)
     CROSS JOIN LATERAL (VALUES (p.base_asset, CASE f.side WHEN 'buy' THEN f.quantity ELSE -f.quantity END),
                                (p.quote_asset, CASE f.side WHEN 'buy' THEN -f.quote ELSE f.quote END),
                                (f.commission_asset, -f.commission)) AS v (asset, amount)
     WHERE f.account_id = $1 AND f.market = 'spot' AND f.environment_epoch = $2 AND v.asset <> ''
), held AS (
    SELECT h.base_asset AS asset, sum(p.size) AS held
      FROM bridge.position AS p
      JOIN bridge.holding AS h ON h.id = p.holding_id
     WHERE p.account_id = $1 AND p.market = 'spot' AND p.status = 'open' AND h.environment_epoch = $2
     GROUP BY h.base_asset
)
SELECT asset, coalesce(sum(f.amount), 0) AS ledger, coalesce(max(h.held), 0) AS held
  FROM flow AS f FULL JOIN held AS h USING (asset)
 GROUP BY asset
