-- PROTOCOL 9: cancel the way the bot does, in the database only; the executor follows. Only rows that are not over.
-- $1 orders (null: all)  $2 scope  $3 key  $4 only what was sent, not what still waits  $5 who
WITH wanted AS MATERIALIZED (
    SELECT o.id, o.status::text AS before, o.exchange_account_id AS account_id, e.state
      FROM public.orders AS o
      LEFT JOIN bridge.outbox AS e ON e.order_id = o.id
     WHERE o.status IN ('pending', 'open', 'partial')
       AND ($1::uuid[] IS NULL OR o.id = ANY ($1::uuid[]))
       AND ($2::text = 'global' OR ($2::text = 'account' AND o.exchange_account_id::text = $3::text)
            OR ($2::text = 'symbol' AND bridge.key_symbol(o.symbol) = bridge.key_symbol($3::text)))
       AND (NOT $4::boolean OR e.state IN ('sending', 'unknown', 'submitted'))
     ORDER BY o.id
       FOR UPDATE OF o
), canceled AS (
    UPDATE public.orders AS o SET status = 'canceled' FROM wanted AS w WHERE o.id = w.id
), told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT 'cancel_requested', id, account_id, jsonb_build_object('by', $5::text, 'status', before) FROM wanted
)
SELECT w.id, w.before, coalesce(w.state, 'not taken in') AS state FROM wanted AS w ORDER BY w.id
