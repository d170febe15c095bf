-- DESIGN 6: accounts with orders that are not over, or whose fills do not add up; $1 only this account (null: all)
SELECT e.account_id, e.market
  FROM bridge.outbox AS e
 WHERE (e.state IN ('submitted', 'unknown') OR (e.state = 'sending' AND e.lease_until < clock_timestamp()))
   AND ($1::uuid IS NULL OR e.account_id = $1)
 UNION
SELECT a.account_id, a.market
  FROM bridge.attempt AS a
 WHERE a.executed > a.filled AND ($1::uuid IS NULL OR a.account_id = $1)
 ORDER BY market, account_id
