-- DESIGN 6: what an account's futures wallet has gained by the ledger in each asset: profit as the exchange told it with each fill,
-- less fees, and funding. Positions hold nothing of it. $1 account  $2 environment epoch
WITH pair AS (
    SELECT DISTINCT symbol, quote_asset FROM bridge.holding
     WHERE account_id = $1 AND market = 'futures' AND environment_epoch = $2
), flow AS (
    SELECT v.asset, v.amount
      FROM bridge.fill AS f
      JOIN pair AS p USING (symbol)
     CROSS JOIN LATERAL (VALUES (p.quote_asset, coalesce(f.realized, 0)),
                                (f.commission_asset, -f.commission)) AS v (asset, amount)
     WHERE f.account_id = $1 AND f.market = 'futures' AND f.environment_epoch = $2 AND v.asset <> ''
     UNION ALL
    SELECT asset, amount FROM bridge.funding WHERE account_id = $1 AND environment_epoch = $2
)
SELECT asset, sum(amount) AS ledger, 0::numeric AS held FROM flow GROUP BY asset
