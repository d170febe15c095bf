-- DESIGN 4: notify `bridge_events` if there are events nobody was told of. At most one replica does it at a time and none more
-- often than the interval, because every NOTIFY takes a lock that all notifying commits of the cluster share. $1 interval
WITH due AS MATERIALIZED (
    SELECT seen FROM bridge.feed_reader
     WHERE name = 'notify' AND read_at <= clock_timestamp() - $1::interval
       FOR UPDATE SKIP LOCKED
), told AS (
    UPDATE bridge.feed_reader AS r
       SET seen = pg_current_snapshot(), read_at = clock_timestamp()
      FROM due
     WHERE r.name = 'notify' AND EXISTS (SELECT FROM bridge.events_after(due.seen))
 RETURNING r.name
)
SELECT pg_notify('bridge_events', '')::text FROM told
