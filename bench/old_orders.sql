-- Orders that are over: each with its entry, attempt, evidence, fill and events, as the bridge leaves them. They stand for
-- months of use, so that growth can be measured and plans be asked for.
-- %(accounts)s accounts, which take turns  %(first)s how many there are already  %(count)s how many orders
WITH made AS MATERIALIZED (
    SELECT gen_random_uuid() AS id, a.id AS account_id, a.user_id, n, gen_random_uuid() AS token,
           (ARRAY['BTC', 'ETH', 'SOL', 'BNB', 'XRP', 'DOGE'])[1 + n %% 6] AS base,
           clock_timestamp() - interval '1 day' - n * interval '1 second' AS at
      FROM generate_series(%(first)s::integer + 1, %(first)s::integer + %(count)s::integer) AS n
      JOIN unnest(%(accounts)s::uuid[]) WITH ORDINALITY AS taken (id, place)
        ON taken.place = 1 + n %% cardinality(%(accounts)s::uuid[])
      JOIN public.exchange_accounts AS a ON a.id = taken.id
), row_written AS (
    INSERT INTO public.orders (id, user_id, exchange_account_id, exchange_order_id, symbol, market_type, side, type, status,
                               price, amount, filled_amount, avg_fill_price, stop_price, reduce_only, agent_id, reasoning,
                               fee, fee_currency, created_at, updated_at, filled_at)
    SELECT id, user_id, account_id, 'old-' || n, base || '/USDT', 'spot', 'buy', 'market', 'filled', 0, 10 + n * 0.001, 1, 10,
           0, false, 'bench', 'an old order', 0.001, base, at, at, at
      FROM made
), entry AS (
    INSERT INTO bridge.outbox (order_id, user_id, account_id, market, symbol, side, reduces, statement_id, twin_key, state,
                               attempts, has_evidence, age_from, created_at, changed_at)
    SELECT id, user_id, account_id, 'spot', base || 'USDT', 'buy', false, 0, hashtextextended(id::text, 0), 'done', 1, true,
           at, at, at
      FROM made
     ORDER BY n
), attempt AS (
    INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, symbol, parameters, signed_at_ms,
                                recv_window_ms, base_url, api_key_hash, epoch, token, outcome, exchange_order_id,
                                exchange_status, executed, executed_quote, filled, fee, fee_asset, base_asset, quote_asset,
                                reported_at, claimed_at, settled_at)
    SELECT id, 1, 'b' || replace(id::text, '-', '') || '-1', account_id, user_id, 'spot', base || 'USDT',
           'symbol=' || base || 'USDT&side=BUY&type=MARKET&quoteOrderQty=10&newOrderRespType=FULL', 0, 5000,
           'http://127.0.0.1', '', 1, token, 'accepted', 'old-' || n, 'FILLED', 1, 10, 1, 0.001, base, base, 'USDT', at, at, at
      FROM made
), evidence AS (
    INSERT INTO bridge.evidence (order_id, number, source, exchange_order_id, exchange_status, late, seen_at)
    SELECT id, 1, 'answer', 'old-' || n, 'FILLED', false, at FROM made
), fill AS (
    INSERT INTO bridge.fill (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id, order_id, number,
                             client_order_id, side, price, quantity, quote, commission, commission_asset,
                             commission_in_quote, traded_at, source, stored_at, applied)
    SELECT account_id, 'spot', 1, base || 'USDT', 'old-' || n, n, id, 1, 'b' || replace(id::text, '-', '') || '-1', 'buy', 10, 1,
           10, 0.001, base, 0.01, at, 'answer', at, true
      FROM made
)
INSERT INTO bridge.event (at, kind, order_id, account_id, number, data)
SELECT at, kind, id, account_id, 1, '{"status": "filled"}'
  FROM made CROSS JOIN unnest(ARRAY['claimed', 'accepted', 'filled', 'position_grown']) AS kind
