-- PROTOCOL 9: cancelled before the claim, while held or between two attempts: never sent. A row that left `pending` to anything
-- else without us was moved by somebody else (the bot's own executor): said loudly, and never sent either.
-- $1 accounts served (null: all)
WITH moved AS MATERIALIZED (
    -- each half by its own partial index; the past is not looked at
    SELECT e.id FROM bridge.outbox AS e JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.state IN ('new', 'backoff') AND o.status NOT IN ('pending', 'open')
     UNION ALL
    SELECT e.id FROM bridge.outbox AS e JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.state = 'held' AND o.status NOT IN ('pending', 'open')
), gone AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, o.status::text AS status
      FROM moved AS m
      JOIN bridge.outbox AS e ON e.id = m.id
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.state IN ('new', 'held', 'backoff') AND NOT bridge.awaits_round(e.id, e.asked_epoch)
       AND o.status NOT IN ('pending', 'open')
       AND ($1::uuid[] IS NULL OR e.account_id = ANY ($1))
     ORDER BY e.order_id
       FOR UPDATE OF o, e SKIP LOCKED
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'done', token = NULL, lease_until = NULL, changed_at = clock_timestamp(),
           reason_code = CASE g.status WHEN 'canceled' THEN 'canceled' ELSE 'moved_by_another' END,
           reason = CASE g.status WHEN 'canceled' THEN 'The bot canceled the row before it was sent.'
                    ELSE 'The row became ' || g.status || ' without the bridge; is the bot''s own executor off?' END
      FROM gone AS g
     WHERE e.id = g.id
), event AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT CASE status WHEN 'canceled' THEN 'canceled' ELSE 'moved_by_another' END, order_id, account_id,
           jsonb_build_object('status', status)
      FROM gone
)
SELECT order_id, status FROM gone
