-- PROTOCOL 6: write all that was decided, in one statement: attempts, entries, rows, evidence and audit events; and what new fills
-- made of the holdings (DESIGN 6): their state, their lives, the bot's rows, the events, the fills themselves, and which of those
-- stored before are counted now. Evidence is append-only; the same word from the same source is kept once. A row the bot closed
-- while we still hold the position is not opened again.
-- What was decided without holding a lock is locked here, in the lock order, and nothing is written unless all of it still stands
-- as it was read. All to be written as JSON, each by itself, so that nothing is parsed twice.
-- $1 order ids (null: the transaction holds the locks)  $2 attempt numbers  $3 their versions  $4 keys of the positions
-- $5 holdings  $6 their versions  $7 lines  $8 evidence  $9 holdings  $10 lives  $11 new fills  $12 keys of fills stored before
-- $13 events
-- Where nothing was filled, it is run without what stands between the marks: it takes a third less.
WITH same_line AS MATERIALIZED (
    SELECT o.id
      FROM unnest($1::uuid[], $2::smallint[], $3::text[]) AS r (order_id, number, version)
      JOIN public.orders  AS o ON o.id = r.order_id
      JOIN bridge.outbox  AS e ON e.order_id = r.order_id
      JOIN bridge.attempt AS a ON a.order_id = r.order_id AND a.number = r.number
     WHERE o.xmin::text || ' ' || e.xmin::text || ' ' || a.xmin::text = r.version
     ORDER BY uuid_send(o.id)
       FOR UPDATE OF o, e, a
), position_locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(key)
      FROM (SELECT DISTINCT hashtextextended(k, 0) AS key FROM unnest($4::text[]) AS k ORDER BY 1) AS sorted
     WHERE (SELECT count(*) FROM same_line) = cardinality($1::uuid[])
), same_holding AS MATERIALIZED (
    -- whoever moves a position writes its holding
    SELECT h.id
      FROM unnest($5::uuid[], $6::text[]) AS r (id, version)
      JOIN bridge.holding AS h ON h.id = r.id
     WHERE h.xmin::text = r.version AND (SELECT count(*) FROM position_locked) >= 0
       FOR UPDATE OF h
), known AS MATERIALIZED (
    SELECT CASE WHEN $1::uuid[] IS NULL THEN true
                ELSE (SELECT count(*) FROM same_line) = cardinality($1::uuid[])
                 AND (SELECT count(*) FROM position_locked) >= 0
                 AND (SELECT count(*) FROM same_holding) = cardinality($5::uuid[]) END AS stands
), evidence AS (
    INSERT INTO bridge.evidence (order_id, number, source, exchange_order_id, exchange_status, late)
    SELECT * FROM jsonb_to_recordset($8::jsonb) AS v (
        order_id uuid, number smallint, source text, exchange_order_id text, exchange_status text, late boolean)
     WHERE (SELECT stands FROM known)
        ON CONFLICT (order_id, number, source, exchange_order_id) DO NOTHING
), line AS MATERIALIZED (
    SELECT l.* FROM jsonb_to_recordset($7::jsonb) AS l (
        order_id uuid, number smallint, account_id uuid, order_status text, reasoning text, entry_state text,
        counted smallint, has_evidence boolean, outcome text, exchange_order_id text, exchange_status text,
        executed numeric, priced numeric, executed_quote numeric, filled numeric, fee numeric, fee_asset text,
        fee_in_quote numeric, average_price numeric, reported_at timestamptz, filled_at timestamptz,
        reason_code text, reason text, late boolean, retry_after interval, row_changed boolean, events text[])
     WHERE (SELECT stands FROM known)
), row_written AS (
    UPDATE public.orders AS o
       SET status = l.order_status::public.order_status, exchange_order_id = l.exchange_order_id,
           filled_amount = l.priced, avg_fill_price = l.average_price, fee = l.fee, fee_currency = l.fee_asset,
           reasoning = l.reasoning, filled_at = coalesce(o.filled_at, l.filled_at)
      FROM line AS l
     WHERE o.id = l.order_id AND l.row_changed
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = l.entry_state, counted = l.counted, has_evidence = l.has_evidence, reason_code = l.reason_code,
           reason = l.reason, not_before = clock_timestamp() + l.retry_after, changed_at = clock_timestamp(),
           token = CASE WHEN l.entry_state IN ('sending', 'unknown') THEN e.token END,
           lease_until = CASE WHEN l.entry_state = 'sending' THEN e.lease_until END
      FROM line AS l
     WHERE e.order_id = l.order_id
), attempt AS (
    UPDATE bridge.attempt AS a
       SET outcome = l.outcome, exchange_order_id = nullif(l.exchange_order_id, ''),
           exchange_status = l.exchange_status, executed = l.executed, executed_quote = l.executed_quote,
           filled = l.filled, fee = l.fee, fee_asset = l.fee_asset, fee_in_quote = l.fee_in_quote,
           reported_at = l.reported_at, late = l.late, reason_code = coalesce(l.reason_code, a.reason_code),
           reason = coalesce(l.reason, a.reason),
           settled_at = CASE WHEN l.outcome = 'unknown' THEN a.settled_at
                             ELSE coalesce(a.settled_at, clock_timestamp()) END,
           watched_until = CASE WHEN l.outcome = 'absent' THEN clock_timestamp() + interval '24 hours'
                                ELSE a.watched_until END
      FROM line AS l
     WHERE a.order_id = l.order_id AND a.number = l.number
), line_told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, number, data)
    SELECT kind, l.order_id, l.account_id, l.number,
           jsonb_strip_nulls(jsonb_build_object(
               'status', l.order_status, 'executed', l.executed, 'exchange_order_id', nullif(l.exchange_order_id, ''),
               'reason_code', l.reason_code, 'reason', l.reason))
      FROM line AS l CROSS JOIN unnest(l.events) WITH ORDINALITY AS e (kind, place)
     ORDER BY l.order_id, e.place
 RETURNING id
)
-- fills
, holding_written AS (
    INSERT INTO bridge.holding (id, account_id, market, environment_epoch, symbol, strategy_id, position_side, user_id,
                                base_asset, quote_asset, dust_below, cycles, dust, dust_cost, unmatched, unvalued,
                                through_at, through_trade, through_order, opening_id, opening_side, opening_size,
                                opening_price, opening_at)
    SELECT id, account_id, market, environment_epoch, symbol, strategy_id, position_side, user_id, base_asset, quote_asset,
           dust_below, cycles, dust, dust_cost, unmatched, unvalued, through_at, through_trade, through_order, opening_id,
           opening_side, opening_size, opening_price, opening_at
      FROM jsonb_to_recordset($9::jsonb) AS h (
           id uuid, account_id uuid, market text, environment_epoch integer, symbol text, strategy_id uuid,
           position_side text, user_id uuid, base_asset text, quote_asset text, dust_below numeric, cycles integer,
           dust numeric, dust_cost numeric, unmatched numeric, unvalued integer, through_at timestamptz,
           through_trade bigint, through_order text, opening_id uuid, opening_side text, opening_size numeric,
           opening_price numeric, opening_at timestamptz)
     WHERE (SELECT stands FROM known)
        ON CONFLICT (id) DO UPDATE
       SET cycles = excluded.cycles, dust = excluded.dust, dust_cost = excluded.dust_cost,
           unmatched = excluded.unmatched, unvalued = excluded.unvalued,
           through_at = excluded.through_at, through_trade = excluded.through_trade,
           through_order = excluded.through_order, changed_at = clock_timestamp()
), cycle AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($10::jsonb) AS c (
           id uuid, holding_id uuid, number integer, account_id uuid, user_id uuid, market text, symbol text,
           display_symbol text, strategy_id uuid, side text, status text, size numeric, cost numeric, entry_price numeric,
           peak numeric, exited numeric, exit_value numeric, realized numeric, fees numeric, last_price numeric,
           opening boolean, opened_at timestamptz, closed_at timestamptz, reasoning text, is_new boolean,
           reopened boolean, shown_size numeric, shown_entry numeric, shown_price numeric, shown_pnl numeric,
           shown_percent numeric, shown_realized numeric)
     WHERE (SELECT stands FROM known)
), position_written AS (
    INSERT INTO bridge.position (id, holding_id, number, account_id, user_id, market, symbol, display_symbol, strategy_id,
                                 side, status, size, cost, entry_price, peak, exited, exit_value, realized, fees,
                                 last_price, current_price, opening, opened_at, closed_at)
    SELECT id, holding_id, number, account_id, user_id, market, symbol, display_symbol, strategy_id, side, status, size,
           cost, entry_price, peak, exited, exit_value, realized, fees, last_price, shown_price, opening, opened_at,
           closed_at
      FROM cycle
     ORDER BY status = 'open', number  -- the old life ends before the next begins: one is open at a time
        ON CONFLICT (id) DO UPDATE
       SET number = excluded.number, side = excluded.side, status = excluded.status, size = excluded.size, cost = excluded.cost,
           entry_price = excluded.entry_price, peak = excluded.peak, exited = excluded.exited,
           exit_value = excluded.exit_value, realized = excluded.realized, fees = excluded.fees,
           last_price = excluded.last_price, current_price = excluded.current_price, opened_at = excluded.opened_at,
           closed_at = excluded.closed_at, changed_at = clock_timestamp()
), row_updated AS (
    UPDATE public.positions AS p
       SET size = c.shown_size, entry_price = c.shown_entry, current_price = c.shown_price,
           unrealized_pnl = c.shown_pnl, unrealized_pnl_pct = c.shown_percent, realized_pnl = c.shown_realized,
           status = c.status::public.position_status, opened_at = c.opened_at, closed_at = c.closed_at
      FROM cycle AS c
     WHERE p.id = c.id
       AND NOT c.is_new AND (p.status = 'open' OR c.status <> 'open' OR c.reopened)
), row_inserted AS (
    INSERT INTO public.positions (id, user_id, strategy_id, exchange_account_id, symbol, market_type, side, size,
                                  entry_price, current_price, liquidation_price, leverage, margin_mode, unrealized_pnl,
                                  unrealized_pnl_pct, realized_pnl, stop_loss_price, take_profit_price,
                                  trailing_stop_pct, stop_loss_order_id, take_profit_order_id, open_reasoning, status,
                                  opened_at, closed_at, updated_at)
    SELECT c.id, c.user_id, (SELECT s.id FROM public.user_strategies AS s WHERE s.id = c.strategy_id), c.account_id,
           c.display_symbol, c.market::public.market_type, c.side::public.position_side, c.shown_size, c.shown_entry,
           c.shown_price, 0, 1, 'cross', c.shown_pnl, c.shown_percent, c.shown_realized, 0, 0, 0, NULL, NULL, c.reasoning,
           c.status::public.position_status, c.opened_at, c.closed_at, clock_timestamp()
      FROM cycle AS c
     WHERE c.is_new
), stored AS (
    INSERT INTO bridge.fill (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id, order_id, number,
                             client_order_id, strategy_id, side, position_side, price, quantity, quote, commission,
                             commission_asset, commission_in_quote, realized, is_maker, traded_at, source, applied)
    SELECT f.*, true
      FROM jsonb_to_recordset($11::jsonb) AS f (
           account_id uuid, market text, environment_epoch integer, symbol text, exchange_order_id text, trade_id bigint,
           order_id uuid, number smallint, client_order_id text, strategy_id uuid, side text, position_side text,
           price numeric, quantity numeric, quote numeric, commission numeric, commission_asset text,
           commission_in_quote numeric, realized numeric, is_maker boolean, traded_at timestamptz, source text)
     WHERE (SELECT stands FROM known)
), counted AS (
    UPDATE bridge.fill AS f
       SET applied = true
      FROM jsonb_to_recordset($12::jsonb) AS k (
           account_id uuid, market text, environment_epoch integer, symbol text, exchange_order_id text, trade_id bigint)
     WHERE (SELECT stands FROM known)
       AND (f.account_id, f.market, f.environment_epoch, f.symbol, f.exchange_order_id, f.trade_id)
           = (k.account_id, k.market, k.environment_epoch, k.symbol, k.exchange_order_id, k.trade_id)
), position_told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, data)
    SELECT kind, order_id, account_id, data
      FROM ROWS FROM (jsonb_to_recordset($13::jsonb)
                      AS (kind text, order_id uuid, account_id uuid, data jsonb))
           WITH ORDINALITY AS e (kind, order_id, account_id, data, place)
     WHERE (SELECT count(*) FROM line_told) >= 0  -- told after what became of the orders
       AND (SELECT stands FROM known)
     ORDER BY place
)
-- fills end
SELECT stands FROM known
