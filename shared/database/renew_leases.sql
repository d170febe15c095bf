-- PROTOCOL 3: HOT updates, since no index holds the lease. $1 tokens  $2 lease
WITH renewed AS (
    UPDATE bridge.outbox SET lease_until = clock_timestamp() + $2::interval
     WHERE state IN ('sending', 'unknown') AND token = ANY ($1::uuid[])
 RETURNING 1)
SELECT count(*) FROM renewed
