-- The operator's list of orders, newest first. Null means: all.
-- $1 states of the entry  $2 statuses of the row  $3 account  $4 user  $5 symbol  $6 why  $7 not older than  $8 most  $9 max_key_block
SELECT o.id, o.created_at, o.symbol, o.market_type::text AS market, o.side::text AS side, o.type::text AS type,
       o.status::text AS status, e.state, coalesce(w.code, e.reason_code, '') AS reason_code, coalesce(e.reason, '') AS reason,
       w.order_id AS waits_for,
       coalesce(e.attempts, 0) AS attempts, o.amount, coalesce(o.price, 0) AS price,
       coalesce(o.stop_price, 0) AS stop_price, coalesce(o.filled_amount, 0) AS filled,
       coalesce(o.avg_fill_price, 0) AS average_price, o.user_id, o.exchange_account_id AS account_id,
       coalesce(x.label, '') AS account_label, coalesce(o.exchange_order_id, '') AS exchange_order_id,
       e.changed_at
  FROM public.orders AS o
  LEFT JOIN bridge.outbox AS e ON e.order_id = o.id
  LEFT JOIN public.exchange_accounts AS x ON x.id = o.exchange_account_id
  LEFT JOIN LATERAL bridge.waits_for(e.id, $9::interval) AS w ON true
 WHERE ($1::text[] IS NULL OR e.state = ANY ($1::text[]))
   AND ($2::text[] IS NULL OR o.status::text = ANY ($2::text[]))
   AND ($3::uuid IS NULL OR o.exchange_account_id = $3::uuid)
   AND ($4::uuid IS NULL OR o.user_id = $4::uuid)
   AND ($5::text IS NULL OR bridge.key_symbol(o.symbol) = bridge.key_symbol($5::text))
   AND ($6::text IS NULL OR coalesce(w.code, e.reason_code) = $6::text)
   AND ($7::interval IS NULL OR o.created_at > clock_timestamp() - $7::interval)
 ORDER BY o.created_at DESC, o.id
 LIMIT $8::integer
