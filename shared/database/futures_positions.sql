-- DESIGN 6: the open futures positions of some accounts, as the ledger has them. $1 accounts
SELECT p.id, p.account_id, p.symbol, p.side, p.size
  FROM bridge.position AS p
 WHERE p.account_id = ANY ($1::uuid[]) AND p.market = 'futures' AND p.status = 'open'
