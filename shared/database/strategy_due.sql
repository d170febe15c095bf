-- Note the spot orders of strategies that have new fills; the reader of the feed moves on in the same commit.
WITH reader AS MATERIALIZED (
    SELECT seen FROM bridge.feed_reader WHERE name = 'strategy_books'
), news AS MATERIALIZED (
    SELECT e.order_id, e.kind FROM reader CROSS JOIN bridge.events_after(reader.seen) AS e
), moved AS (
    UPDATE bridge.feed_reader SET seen = pg_current_snapshot(), read_at = clock_timestamp()
     WHERE name = 'strategy_books' AND EXISTS (SELECT FROM news)
)
INSERT INTO bridge.strategy_due (order_id, strategy_id)
SELECT DISTINCT f.order_id, f.strategy_id
  FROM news AS n
  JOIN bridge.fill AS f ON f.order_id = n.order_id
 WHERE n.kind IN ('filled', 'filled_in_part') AND f.market = 'spot' AND f.strategy_id IS NOT NULL
    ON CONFLICT (order_id) DO UPDATE SET due_at = clock_timestamp()
