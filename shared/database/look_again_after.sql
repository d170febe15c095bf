-- PROTOCOL 7: the lease doubles as the moment of the next look. $1 token  $2 wait
UPDATE bridge.outbox SET lease_until = clock_timestamp() + $2::interval WHERE token = $1 AND state = 'unknown'
