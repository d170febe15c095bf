-- PROTOCOL 7: these accounts are no longer heard; from here on there is a gap. $1 owner  $2 market  $3 accounts  $4 what happened
UPDATE bridge.stream
   SET connection_id = NULL, subscribed_at_ms = NULL, problem = $4::text, changed_at = clock_timestamp()
 WHERE owner = $1::text AND market = $2::text AND account_id = ANY ($3::uuid[])
