-- PROTOCOL 8: what is paused now. The pause of a refused key is over as soon as the account's row is another version; its key is
-- the account's id, followed on futures by the market.
WITH over AS (
    DELETE FROM bridge.pause AS p
     WHERE p.until <= clock_timestamp()
        OR (p.scope = 'key' AND NOT EXISTS (
               SELECT FROM public.exchange_accounts AS a
                WHERE a.id::text = split_part(p.key, ' ', 1) AND a.xmin::text = p.account_version))
 RETURNING p.scope, p.key
)
SELECT p.scope, p.key, p.until, p.reason, p.account_version
  FROM bridge.pause AS p
 WHERE (p.scope, p.key) NOT IN (SELECT scope, key FROM over)
