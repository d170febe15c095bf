-- PROTOCOL 6 and 10: halt accounts on which something happened that must not happen. $1 accounts  $2 reason
INSERT INTO bridge.control AS c (scope, key, halted, reason, set_by)
SELECT 'account', id::text, true, $2, 'bridge' FROM unnest($1::uuid[]) AS id
    ON CONFLICT (scope, key) DO UPDATE
   SET halted = true, reason = excluded.reason, set_by = excluded.set_by, set_at = clock_timestamp()
 WHERE NOT c.halted
