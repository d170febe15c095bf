-- DESIGN 6: give accounts up, so that another listener takes them at its next beat. $1 owner  $2 market  $3 accounts
UPDATE bridge.stream
   SET owner = NULL, lease_until = NULL, connection_id = NULL, subscribed_at_ms = NULL, changed_at = clock_timestamp()
 WHERE owner = $1::text AND market = $2::text AND account_id = ANY ($3::uuid[])
