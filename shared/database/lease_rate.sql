-- PROTOCOL 2: lease slices of what the exchange allows. What a slice is for is lost with the process or the window; losing the
-- last moments of these counts in a crash of the database costs at most a refusal by the exchange, so the commit is not waited
-- for. $1 scopes  $2 keys  $3 kinds  $4 intervals  $5 windows  $6 ceilings  $7 wanted  $8 seen used by the exchange's word
WITH quick AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true) AS is_off
), asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
        AS a (scope, key, kind, interval_ms, window_no, ceiling, wanted, seen)
)
INSERT INTO bridge.rate AS r (scope, key, kind, interval_ms, window_no, ceiling, wanted, seen, given, granted)
SELECT scope, key, kind, interval_ms, window_no, ceiling, wanted, seen,
       greatest(0, least(wanted, ceiling - seen)), seen + greatest(0, least(wanted, ceiling - seen))
  FROM asked CROSS JOIN quick
 ORDER BY scope, key, kind, interval_ms  -- one order for everybody: two processes never wait for each other
    ON CONFLICT (scope, key, kind, interval_ms) DO UPDATE
   SET window_no = greatest(r.window_no, excluded.window_no),
       ceiling = excluded.ceiling, wanted = excluded.wanted, seen = excluded.seen,
       given = CASE WHEN r.window_no < excluded.window_no THEN excluded.given
                    WHEN r.window_no > excluded.window_no THEN 0  -- somebody is in a later window already
                    ELSE greatest(0, least(excluded.wanted, excluded.ceiling - greatest(r.granted, excluded.seen))) END,
       granted = CASE WHEN r.window_no < excluded.window_no THEN excluded.granted
                      WHEN r.window_no > excluded.window_no THEN r.granted
                      ELSE greatest(r.granted, excluded.seen)
                           + greatest(0, least(excluded.wanted, excluded.ceiling - greatest(r.granted, excluded.seen))) END
RETURNING r.scope, r.key, r.kind, r.interval_ms, r.window_no, r.given
