-- PROTOCOL 8. $1 scope  $2 key  $3 how long (null: until the account's row changes)  $4 reason  $5 version of the account's row
INSERT INTO bridge.pause AS p (scope, key, until, reason, account_version)
VALUES ($1, $2, clock_timestamp() + $3::interval, $4, $5)
    ON CONFLICT (scope, key) DO UPDATE
   SET until = CASE WHEN excluded.until IS NULL THEN NULL ELSE greatest(p.until, excluded.until) END,
       reason = excluded.reason, account_version = excluded.account_version, set_at = clock_timestamp()
