-- PROTOCOL 10: rows that a restored database has lost, written again with their attempts from the log lines of these.
-- Only what is gone altogether: a row that survived is asked about under all nine ids by itself.
-- $1 lines of `order.claimed`, as one JSON array
WITH line AS MATERIALIZED (
    SELECT DISTINCT ON (j.order_id, j.number) j.*
      FROM jsonb_to_recordset($1::text::jsonb)
           AS j (order_id uuid, number smallint, client_order_id text, account_id uuid, user_id uuid, strategy_id uuid,
                 market text, row_symbol text, side text, type text, amount numeric, price numeric, stop_price numeric,
                 reduce_only boolean, agent_id text, parent_order_id uuid, created_at timestamptz, symbol text,
                 base_asset text, quote_asset text, lot_step numeric, parameters text, signed_at_ms bigint,
                 recv_window_ms integer, base_url text, environment_epoch integer, api_key_hash text, quantity numeric,
                 reserved numeric)
     ORDER BY j.order_id, j.number
), lost AS MATERIALIZED (
    SELECT l.*, to_timestamp(l.signed_at_ms / 1000.0) AS signed_at,
           l.number = max(l.number) OVER (PARTITION BY l.order_id) AS newest,
           (SELECT s.id FROM public.user_strategies AS s WHERE s.id = l.strategy_id) AS strategy,
           CASE WHEN EXISTS (SELECT FROM public.orders AS p WHERE p.id = l.parent_order_id)
                  OR l.parent_order_id IN (SELECT p.order_id FROM line AS p)
                THEN l.parent_order_id END AS parent
      FROM line AS l
      JOIN public.exchange_accounts AS x ON x.id = l.account_id
     WHERE NOT EXISTS (SELECT FROM public.orders AS o WHERE o.id = l.order_id)
       AND NOT EXISTS (SELECT FROM bridge.outbox AS e WHERE e.order_id = l.order_id)
), placed AS (
    -- not pending: neither the trigger nor the bot takes it up
    INSERT INTO public.orders (id, user_id, strategy_id, exchange_account_id, exchange_order_id, symbol, market_type, side,
                               type, status, price, amount, filled_amount, avg_fill_price, stop_price, reduce_only, agent_id,
                               reasoning, parent_order_id, fee, fee_currency, created_at, updated_at, filled_at)
    SELECT l.order_id, l.user_id, l.strategy, l.account_id, '', l.row_symbol, l.market::public.market_type,
           l.side::public.order_side, l.type::public.order_type, 'open', l.price, l.amount, 0, 0, l.stop_price,
           l.reduce_only, l.agent_id, 'Written again from the journal of the bridge', l.parent, 0, '', l.created_at,
           clock_timestamp(), NULL
      FROM lost AS l WHERE l.newest
), entry AS (
    -- its age runs on: what turns out never to have arrived is held, not sent an hour late
    INSERT INTO bridge.outbox (order_id, user_id, account_id, strategy_id, market, symbol, side, reduces, parent_id,
                               statement_id, twin_key, state, attempts, age_from, created_at)
    SELECT l.order_id, l.user_id, l.account_id, l.strategy, l.market, bridge.key_symbol(l.row_symbol), l.side,
           l.reduce_only OR (l.market = 'spot' AND l.side = 'sell'), l.parent, 0,
           bridge.twin_key(l.user_id, l.account_id, l.market, l.row_symbol, l.side, l.type, l.amount, l.price, l.stop_price),
           'unknown', l.number, l.signed_at, l.signed_at
      FROM lost AS l WHERE l.newest
     ORDER BY l.signed_at_ms
), attempt AS (
    -- a later attempt was claimed only after the earlier ones were known not to be there
    INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, strategy_id, market, symbol, side,
                                parameters, signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token, outcome,
                                reason_code, reason, base_asset, quote_asset, lot_step, environment_epoch, quantity, reserved,
                                claimed_at)
    SELECT l.order_id, l.number, l.client_order_id, l.account_id, l.user_id, l.strategy, l.market, l.symbol, l.side,
           l.parameters, l.signed_at_ms, l.recv_window_ms, l.base_url, l.api_key_hash, (SELECT max(id) FROM bridge.epoch),
           gen_random_uuid(), CASE WHEN l.newest THEN 'unknown' ELSE 'absent' END, 'journal',
           'the database had lost this attempt; written again from its log line', l.base_asset, l.quote_asset, l.lot_step,
           l.environment_epoch, l.quantity, l.reserved, l.signed_at
      FROM lost AS l
), told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, number, data)
    SELECT 'recovered', l.order_id, l.account_id, l.number, jsonb_build_object('source', 'journal') FROM lost AS l
)
SELECT (SELECT count(*) FROM lost) AS attempts, (SELECT count(*) FROM lost WHERE newest) AS orders,
       (SELECT count(DISTINCT l.order_id) FROM line AS l
         WHERE NOT EXISTS (SELECT FROM public.exchange_accounts AS x WHERE x.id = l.account_id)) AS strange
