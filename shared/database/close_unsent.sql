-- PROTOCOL 9: cancelled before the claim, while held or between two attempts: never sent. A row that shows anything else than what
-- we left it at was moved by somebody else (the bot's own executor): said loudly, and never sent either; it would stand in its
-- key's way for ever. Set back to `pending` between two attempts it is opened again: nobody may take it for one that waits.
-- $1 accounts served (null: all)
WITH moved AS MATERIALIZED (
    -- each half by its own partial index; the past is not looked at
    SELECT e.id FROM bridge.outbox AS e JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.state IN ('new', 'backoff') AND o.status::text <> CASE e.attempts WHEN 0 THEN 'pending' ELSE 'open' END
     UNION ALL
    SELECT e.id FROM bridge.outbox AS e JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.state = 'held' AND (o.status NOT IN ('pending', 'open') OR (o.status = 'open' AND e.attempts = 0))
), found AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, o.status::text AS status, o.status = 'pending' AS set_back
      FROM moved AS m
      JOIN bridge.outbox AS e ON e.id = m.id
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE NOT bridge.awaits_round(e.id, e.asked_epoch)
       AND CASE WHEN e.state IN ('new', 'backoff')
                THEN o.status::text <> CASE e.attempts WHEN 0 THEN 'pending' ELSE 'open' END
                WHEN e.state = 'held' THEN o.status NOT IN ('pending', 'open') OR (o.status = 'open' AND e.attempts = 0)
                ELSE false END
       AND ($1::uuid[] IS NULL OR e.account_id = ANY ($1))
     ORDER BY e.order_id
       FOR UPDATE OF o, e SKIP LOCKED
), opened AS (
    UPDATE public.orders AS o SET status = 'open' FROM found AS f WHERE o.id = f.order_id AND f.set_back
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'done', token = NULL, lease_until = NULL, changed_at = clock_timestamp(),
           reason_code = CASE f.status WHEN 'canceled' THEN 'canceled' ELSE 'moved_by_another' END,
           reason = CASE f.status WHEN 'canceled' THEN 'The bot canceled the row before it was sent.'
                    ELSE 'The row became ' || f.status || ' without the bridge; is the bot''s own executor off?' END
      FROM found AS f
     WHERE e.id = f.id AND NOT f.set_back
), event AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT CASE status WHEN 'canceled' THEN 'canceled' ELSE 'moved_by_another' END, order_id, account_id,
           jsonb_build_object('status', status)
      FROM found
)
SELECT order_id, status FROM found
