-- PROTOCOL 2: hold one of the standing allowances: the one held already, or a free one. $1 owner  $2 lease  $3 seats
WITH mine AS (
    UPDATE bridge.rate_seat SET lease_until = clock_timestamp() + $2::interval
     WHERE owner = $1 AND lease_until > clock_timestamp()
 RETURNING seat
), free AS (
    SELECT n AS seat FROM generate_series(1, $3::integer) AS n
      LEFT JOIN bridge.rate_seat AS s ON s.seat = n
     WHERE (s.seat IS NULL OR s.lease_until <= clock_timestamp()) AND NOT EXISTS (SELECT FROM mine)
     ORDER BY n LIMIT 1
), taken AS (
    INSERT INTO bridge.rate_seat AS s (seat, owner, lease_until)
    SELECT seat, $1, clock_timestamp() + $2::interval FROM free
        ON CONFLICT (seat) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
     WHERE s.lease_until <= clock_timestamp()  -- two processes at once: the later one gets none this time
 RETURNING seat
)
SELECT seat FROM mine UNION ALL SELECT seat FROM taken
