-- PROTOCOL 8, drain: leave what is still unknown to others at once. $1 owner
UPDATE bridge.outbox SET lease_until = NULL, owner = NULL WHERE state = 'unknown' AND owner = $1
