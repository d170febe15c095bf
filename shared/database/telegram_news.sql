-- What users are told of: orders filled, rejected or ended with a part filled, and positions closed, to those who want messages.
-- The reader has moved on once this commits, so nothing is told twice; what is older is not told any more. $1 oldest
WITH reader AS MATERIALIZED (
    SELECT seen FROM bridge.feed_reader WHERE name = 'telegram'
), news AS MATERIALIZED (
    SELECT e.* FROM reader CROSS JOIN bridge.events_after(reader.seen) AS e
), moved AS (
    UPDATE bridge.feed_reader SET seen = pg_current_snapshot(), read_at = clock_timestamp()
     WHERE name = 'telegram' AND EXISTS (SELECT FROM news)
)
SELECT u.telegram_id, n.kind, coalesce(p.display_symbol, o.symbol) AS symbol, coalesce(o.side::text, '') AS side,
       coalesce(p.side, '') AS position_side, coalesce(o.filled_amount, 0) AS filled,
       coalesce(o.avg_fill_price, 0) AS price, coalesce(o.fee, 0) AS fee, coalesce(o.fee_currency, '') AS fee_currency,
       coalesce(n.data ->> 'reason', n.data ->> 'reason_code', '') AS reason, coalesce(p.realized, 0) AS realized
  FROM news AS n
  JOIN public.exchange_accounts AS x ON x.id = n.account_id
  LEFT JOIN public.orders AS o ON o.id = n.order_id
  LEFT JOIN bridge.position AS p ON n.kind = 'position_closed' AND p.id = (n.data ->> 'position_id')::uuid
  JOIN public.users AS u ON u.id = coalesce(p.user_id, o.user_id, x.user_id)
 WHERE n.kind IN ('filled', 'rejected', 'canceled', 'expired', 'position_closed')
   AND (n.kind NOT IN ('canceled', 'expired') OR o.filled_amount > 0)
   AND n.at > clock_timestamp() - $1::interval
   AND u.telegram_id IS NOT NULL AND coalesce(u.is_active, false)
   AND u.settings -> 'notifications_on' = 'true'::jsonb
 ORDER BY n.id
