-- PROTOCOL 7: these accounts are heard on this connection. A stream that went over from one connection to the next without a
-- gap keeps the moment it began. $1 owner  $2 market  $3 connection  $4 accounts  $5 moments on the exchange's clock
UPDATE bridge.stream AS s
   SET connection_id = $3::uuid, subscribed_at_ms = coalesce(s.subscribed_at_ms, h.since_ms), problem = NULL,
       changed_at = clock_timestamp()
  FROM unnest($4::uuid[], $5::bigint[]) AS h (account_id, since_ms)
 WHERE s.account_id = h.account_id AND s.market = $2::text AND s.owner = $1::text
