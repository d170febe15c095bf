-- An order's row and entry. A row whose turn has not come is not looked at: what it stands in line for comes before what was last
-- said of it. $1 order  $2 max_key_block
SELECT o.id, o.user_id, o.strategy_id, o.exchange_account_id AS account_id, coalesce(x.label, '') AS account_label,
       coalesce(x.is_testnet, false) AS is_testnet, coalesce(x.is_active, false) AS account_active,
       coalesce(x.exchange::text, '') AS exchange,
       o.symbol, o.market_type::text AS market, o.side::text AS side, o.type::text AS type, o.status::text AS status,
       o.amount, coalesce(o.price, 0) AS price, coalesce(o.stop_price, 0) AS stop_price,
       coalesce(o.reduce_only, false) AS reduce_only, coalesce(o.agent_id, '') AS agent_id,
       coalesce(o.reasoning, '') AS reasoning, o.parent_order_id, coalesce(o.exchange_order_id, '') AS exchange_order_id,
       coalesce(o.filled_amount, 0) AS filled, coalesce(o.avg_fill_price, 0) AS average_price,
       coalesce(o.fee, 0) AS fee, coalesce(o.fee_currency, '') AS fee_currency, o.created_at, o.updated_at, o.filled_at,
       e.id AS entry_id, e.state, coalesce(w.code, e.reason_code) AS reason_code, e.reason, w.order_id AS waits_for, e.attempts, e.counted, e.has_evidence, e.adopted, e.owner,
       e.lease_until, e.not_before, e.created_at AS taken_in_at, e.changed_at, e.trace,
       clock_timestamp() - e.age_from - e.waited AS age
  FROM public.orders AS o
  LEFT JOIN bridge.outbox AS e ON e.order_id = o.id
  LEFT JOIN public.exchange_accounts AS x ON x.id = o.exchange_account_id
  LEFT JOIN LATERAL bridge.waits_for(e.id, $2::interval) AS w ON true
 WHERE o.id = $1::uuid
