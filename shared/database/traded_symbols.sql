-- DESIGN 6: the symbols that some accounts have traded through us. $1 accounts  $2 market  $3 environment epoch
SELECT account_id, array_agg(DISTINCT symbol ORDER BY symbol) AS symbols
  FROM bridge.holding
 WHERE account_id = ANY ($1::uuid[]) AND market = $2 AND environment_epoch = $3
 GROUP BY account_id
