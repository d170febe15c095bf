-- DESIGN 6: keep the leases of the accounts still to be followed. $1 owner  $2 market  $3 lease  $4 accounts to follow
UPDATE bridge.stream
   SET lease_until = clock_timestamp() + $3::interval
 WHERE owner = $1::text AND market = $2::text AND account_id = ANY ($4::uuid[])
RETURNING account_id
