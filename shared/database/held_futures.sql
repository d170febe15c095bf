-- DESIGN 5, PROTOCOL 11: the open position a futures row may reduce, and whether fills of accepted orders are still to be applied
-- (the exchange reports more than we have stored), for no longer than $4. $1 account  $2 symbol  $3 side  $4 how long that counts
SELECT coalesce((SELECT sum(p.size) FROM bridge.position AS p
                  WHERE p.account_id = $1 AND p.market = 'futures' AND p.symbol = $2 AND p.side = $3 AND p.status = 'open'),
                0) AS size,
       EXISTS (SELECT FROM bridge.attempt AS a
                WHERE a.account_id = $1 AND a.executed > a.filled AND a.market = 'futures' AND a.symbol = $2
                  AND a.reported_at > clock_timestamp() - $4::interval) AS behind
