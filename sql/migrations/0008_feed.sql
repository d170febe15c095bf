-- DESIGN 4: the feed. Ids of events are handed out before they are committed, so a reader that remembers the newest id misses
-- what commits later under a lower one. Each event therefore says which transaction wrote it, and a reader remembers the
-- snapshot it has read by: whatever was not visible in that snapshot is new, exactly once, however long a transaction stays open.
ALTER TABLE bridge.event ADD COLUMN written_in xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX event_written ON bridge.event (written_in);

CREATE FUNCTION bridge.events_after(seen pg_snapshot) RETURNS SETOF bridge.event LANGUAGE sql STABLE AS $$
    SELECT * FROM bridge.event AS e
     WHERE e.written_in >= pg_snapshot_xmin(seen) AND NOT pg_visible_in_snapshot(e.written_in, seen)
     ORDER BY e.id
$$;

-- How far the readers of our own have come. A consumer of somebody else's keeps its snapshot itself.
CREATE TABLE bridge.feed_reader (
    name    text        PRIMARY KEY,             -- notify, telegram, strategy_books
    seen    pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    began   timestamptz NOT NULL DEFAULT clock_timestamp(),   -- what happened before does not concern it
    read_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO bridge.feed_reader (name) VALUES ('notify');
