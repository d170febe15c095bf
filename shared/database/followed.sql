-- DESIGN 6: the accounts with something to follow: every active one at Binance, and those that still have an order at the
-- exchange, an unknown attempt, one judged absent of late (PROTOCOL 7), fills to come or an open position although the bot
-- switched them off. $1 market  $2 real money too
-- $3 only these accounts (null: all). On futures, whose streams need a key with the right for them, only accounts that have or
-- had something to do with futures.
SELECT x.id, x.user_id, x.xmin::text AS version, coalesce(x.is_testnet, false) AS is_testnet,
       coalesce(x.is_active, true) AS is_active
  FROM public.exchange_accounts AS x
 WHERE x.exchange = 'binance'
   AND ($2::boolean OR coalesce(x.is_testnet, false))
   AND ($3::uuid[] IS NULL OR x.id = ANY ($3::uuid[]))
   AND ($1::text = 'spot'
        OR EXISTS (SELECT FROM bridge.stream AS s WHERE s.account_id = x.id AND s.market = $1::text)
        OR EXISTS (SELECT FROM bridge.outbox AS e
                    WHERE e.account_id = x.id AND e.market = $1::text
                      AND e.state IN ('new', 'backoff', 'sending', 'unknown'))
        OR EXISTS (SELECT FROM bridge.outbox AS e
                    WHERE e.account_id = x.id AND e.market = $1::text AND e.state = 'submitted')
        -- filled before anybody followed it, which on futures the answer to an order tells without price or fee
        OR EXISTS (SELECT FROM bridge.attempt AS a
                    WHERE a.account_id = x.id AND a.market = $1::text AND a.executed > a.filled)
        OR EXISTS (SELECT FROM bridge.position AS p
                    WHERE p.account_id = x.id AND p.market = $1::text AND p.status = 'open')
        OR EXISTS (SELECT FROM bridge.attempt AS a
                    WHERE a.watched_until > statement_timestamp() AND a.account_id = x.id AND a.market = $1::text))
   AND (coalesce(x.is_active, true)
        OR EXISTS (SELECT FROM bridge.outbox AS e
                    WHERE e.account_id = x.id AND e.market = $1::text AND e.state IN ('sending', 'unknown'))
        OR EXISTS (SELECT FROM bridge.outbox AS e
                    WHERE e.account_id = x.id AND e.market = $1::text AND e.state = 'submitted')
        OR EXISTS (SELECT FROM bridge.attempt AS a
                    WHERE a.account_id = x.id AND a.market = $1::text AND a.executed > a.filled)
        OR EXISTS (SELECT FROM bridge.position AS p
                    WHERE p.account_id = x.id AND p.market = $1::text AND p.status = 'open')
        OR EXISTS (SELECT FROM bridge.attempt AS a
                    WHERE a.watched_until > statement_timestamp() AND a.account_id = x.id AND a.market = $1::text))
 ORDER BY x.id
