-- DESIGN 6: take accounts nobody follows, or whose listener died. What the last one heard is not ours: the stream begins anew.
-- $1 owner  $2 market  $3 lease  $4 accounts to follow  $5 most
WITH free AS (
    SELECT wanted.id
      FROM unnest($4::uuid[]) AS wanted (id)
     WHERE NOT EXISTS (SELECT FROM bridge.stream AS s
                        WHERE s.account_id = wanted.id AND s.market = $2::text AND s.lease_until > clock_timestamp())
     ORDER BY wanted.id
     LIMIT $5
)
INSERT INTO bridge.stream (account_id, market, owner, lease_until)
SELECT id, $2::text, $1::text, clock_timestamp() + $3::interval FROM free
    ON CONFLICT (account_id, market) DO UPDATE
   SET owner = excluded.owner, lease_until = excluded.lease_until, connection_id = NULL, subscribed_at_ms = NULL,
       problem = NULL, changed_at = clock_timestamp()
 WHERE stream.lease_until IS NULL OR stream.lease_until <= clock_timestamp()
RETURNING account_id
