-- DESIGN 6: what the positions of some accounts come to, by account and quote asset, for the metrics. $1 accounts  $2 market
SELECT p.account_id, h.quote_asset, count(*) FILTER (WHERE p.status = 'open') AS open,
       coalesce(sum(p.size * p.current_price) FILTER (WHERE p.status = 'open'), 0) AS exposure,
       coalesce(sum((p.current_price - p.entry_price) * p.size * CASE p.side WHEN 'long' THEN 1 ELSE -1 END)
                FILTER (WHERE p.status = 'open'), 0) AS unrealized,
       coalesce(sum(p.realized), 0) AS realized
  FROM bridge.position AS p
  JOIN bridge.holding AS h ON h.id = p.holding_id
 WHERE p.account_id = ANY ($1::uuid[]) AND p.market = $2::text
 GROUP BY p.account_id, h.quote_asset
