-- DESIGN 6: symbols of the open positions of some accounts. $1 accounts  $2 market
SELECT DISTINCT symbol
  FROM bridge.position
 WHERE account_id = ANY ($1::uuid[]) AND market = $2::text AND status = 'open'
