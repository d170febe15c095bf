-- DESIGN 6: what the listeners' last look at the balances has shown: assets of which an account holds less than its open spot
-- positions, unless fills came since; and how often something beside our fills changed one. $1 how far back changes count
WITH held AS (
    SELECT h.account_id, h.environment_epoch, h.base_asset AS asset, sum(p.size) AS held
      FROM bridge.position AS p
      JOIN bridge.holding AS h ON h.id = p.holding_id
     WHERE p.market = 'spot' AND p.status = 'open'
     GROUP BY h.account_id, h.environment_epoch, h.base_asset
), short AS (
    SELECT b.account_id, b.asset, b.exchange, t.held
      FROM held AS t
      JOIN bridge.wallet AS b USING (account_id, environment_epoch, asset)
     WHERE b.market = 'spot' AND b.exchange < t.held
       AND NOT EXISTS (SELECT FROM bridge.fill AS f
                        WHERE f.account_id = b.account_id AND f.market = 'spot' AND f.stored_at > b.checked_at)
), changed AS (
    SELECT count(*) AS changes FROM bridge.event
     WHERE kind = 'balance_differs' AND at > clock_timestamp() - $1::interval
)
SELECT c.changes, s.account_id, s.asset, s.exchange, s.held
  FROM changed AS c LEFT JOIN short AS s ON true
 ORDER BY s.account_id, s.asset
