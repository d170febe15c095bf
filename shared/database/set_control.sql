-- DESIGN 5: turn a switch; what is null stays as it is. Noted in the audit trail, and every executor looks again.
-- $1 scope  $2 key ('' for global, an account's id, a symbol in any spelling)  $3 halted  $4 reduce-only  $5 reason  $6 who
WITH place AS (
    SELECT $1::text AS scope,
           CASE $1::text WHEN 'symbol' THEN bridge.key_symbol($2::text) ELSE $2::text END AS key
), turned AS (
    INSERT INTO bridge.control AS c (scope, key, halted, reduce_only, reason, set_by)
    SELECT scope, key, coalesce($3::boolean, false), coalesce($4::boolean, false), $5::text, $6::text FROM place
        ON CONFLICT (scope, key) DO UPDATE
       SET halted = coalesce($3::boolean, c.halted), reduce_only = coalesce($4::boolean, c.reduce_only),
           reason = excluded.reason, set_by = excluded.set_by, set_at = clock_timestamp()
 RETURNING c.scope, c.key, c.halted, c.reduce_only, c.reason, c.set_by, c.set_at
), told AS (
    INSERT INTO bridge.event (kind, account_id, data)
    SELECT CASE WHEN $3::boolean THEN 'halted' WHEN NOT $3::boolean THEN 'resumed'
                WHEN $4::boolean THEN 'reduce_only_on' ELSE 'reduce_only_off' END,
           CASE WHEN scope = 'account' THEN key::uuid END,
           jsonb_build_object('scope', scope, 'key', key, 'reason', reason, 'by', set_by)
      FROM turned
)
SELECT t.*, pg_notify('bridge_orders', '')::text AS notified FROM turned AS t
