-- PROTOCOL 1 and 11: the age of a row without the time it waited for its turn: while earlier rows of its key were sent one after
-- another, and until its parent was over. A queue that does not move (a halt, a pause) does not stop the clock. $1 entry
UPDATE bridge.outbox AS e
   SET waited = greatest(
           e.waited,
           (SELECT max(coalesce(a.settled_at, a.claimed_at))
              FROM bridge.attempt AS a
             WHERE a.user_id = e.user_id AND a.claimed_at > e.age_from - interval '1 hour'
               AND a.account_id = e.account_id AND a.market = e.market AND a.symbol = e.symbol
               AND a.order_id <> e.order_id) - e.age_from,
           coalesce((SELECT parent.changed_at FROM bridge.outbox AS parent WHERE parent.order_id = e.parent_id),
                    (SELECT parent.updated_at FROM public.orders AS parent WHERE parent.id = e.parent_id)) - e.age_from)
 WHERE e.id = $1
RETURNING clock_timestamp() - e.age_from - e.waited
