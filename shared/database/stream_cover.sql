-- PROTOCOL 7: since when an account's stream is without a gap, and through when that is proven. $1 account  $2 market
SELECT s.subscribed_at_ms, c.verified_through_ms
  FROM bridge.stream AS s
  JOIN bridge.connection AS c ON c.id = s.connection_id
 WHERE s.account_id = $1 AND s.market = $2 AND s.subscribed_at_ms IS NOT NULL AND s.lease_until > clock_timestamp()
