-- DESIGN 6: say that this listener lives, forget those long dead, and count the living. $1 name  $2 lease
WITH seen AS (
    INSERT INTO bridge.listener (name) VALUES ($1::text)
        ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp()
), dead AS (
    DELETE FROM bridge.listener WHERE name <> $1::text AND seen_at < clock_timestamp() - 20 * $2::interval
 RETURNING name
), old_connections AS (
    DELETE FROM bridge.connection WHERE owner IN (SELECT name FROM dead)
)
SELECT 1 + count(*) FROM bridge.listener WHERE name <> $1::text AND seen_at > clock_timestamp() - $2::interval
