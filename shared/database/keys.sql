-- PROTOCOL 11: every key that has rows waiting, by jumping from one to the next through the index, whatever the backlog of each.
-- $1 accounts served (null: all)
WITH RECURSIVE key AS (
    (SELECT account_id, market, symbol FROM bridge.outbox
      WHERE state IN ('new', 'backoff', 'sending', 'unknown')
      ORDER BY account_id, market, symbol LIMIT 1)
    UNION ALL
    SELECT n.account_id, n.market, n.symbol
      FROM key AS k
     CROSS JOIN LATERAL (
           SELECT e.account_id, e.market, e.symbol FROM bridge.outbox AS e
            WHERE e.state IN ('new', 'backoff', 'sending', 'unknown')
              AND (e.account_id, e.market, e.symbol) > (k.account_id, k.market, k.symbol)
            ORDER BY e.account_id, e.market, e.symbol LIMIT 1) AS n
)
SELECT account_id, market, symbol FROM key WHERE $1::uuid[] IS NULL OR account_id = ANY ($1)
