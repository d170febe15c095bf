-- DESIGN 6: write what some fills made of the holdings: their state, their lives, the bot's rows, the events, the fills that are
-- new, and which of those stored before are counted now; one statement. A row the bot closed while we still hold the position is not opened again. All as JSON,
-- each by itself, so that nothing is parsed twice.
-- $1 holdings  $2 lives  $3 new fills  $4 keys of fills stored before  $5 events
WITH holding_written AS (
    INSERT INTO bridge.holding (id, account_id, market, environment_epoch, symbol, strategy_id, position_side, user_id,
                                base_asset, quote_asset, dust_below, cycles, dust, dust_cost, unmatched, unvalued,
                                through_at, through_trade, through_order, opening_id, opening_side, opening_size,
                                opening_price, opening_at)
    SELECT id, account_id, market, environment_epoch, symbol, strategy_id, position_side, user_id, base_asset, quote_asset,
           dust_below, cycles, dust, dust_cost, unmatched, unvalued, through_at, through_trade, through_order, opening_id,
           opening_side, opening_size, opening_price, opening_at
      FROM jsonb_to_recordset($1::jsonb) AS h (
           id uuid, account_id uuid, market text, environment_epoch integer, symbol text, strategy_id uuid,
           position_side text, user_id uuid, base_asset text, quote_asset text, dust_below numeric, cycles integer,
           dust numeric, dust_cost numeric, unmatched numeric, unvalued integer, through_at timestamptz,
           through_trade bigint, through_order text, opening_id uuid, opening_side text, opening_size numeric,
           opening_price numeric, opening_at timestamptz)
        ON CONFLICT (id) DO UPDATE
       SET cycles = excluded.cycles, dust = excluded.dust, dust_cost = excluded.dust_cost,
           unmatched = excluded.unmatched, unvalued = excluded.unvalued,
           through_at = excluded.through_at, through_trade = excluded.through_trade,
           through_order = excluded.through_order, changed_at = clock_timestamp()
), cycle AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS c (
           id uuid, holding_id uuid, number integer, account_id uuid, user_id uuid, market text, symbol text,
           display_symbol text, strategy_id uuid, side text, status text, size numeric, cost numeric, entry_price numeric,
           peak numeric, exited numeric, exit_value numeric, realized numeric, fees numeric, last_price numeric,
           opening boolean, opened_at timestamptz, closed_at timestamptz, reasoning text, is_new boolean,
           reopened boolean, shown_size numeric, shown_entry numeric, shown_price numeric, shown_pnl numeric,
           shown_percent numeric, shown_realized numeric)
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
      FROM jsonb_to_recordset($3::jsonb) AS f (
           account_id uuid, market text, environment_epoch integer, symbol text, exchange_order_id text, trade_id bigint,
           order_id uuid, number smallint, client_order_id text, strategy_id uuid, side text, position_side text,
           price numeric, quantity numeric, quote numeric, commission numeric, commission_asset text,
           commission_in_quote numeric, realized numeric, is_maker boolean, traded_at timestamptz, source text)
), counted AS (
    UPDATE bridge.fill AS f
       SET applied = true
      FROM jsonb_to_recordset($4::jsonb) AS k (
           account_id uuid, market text, environment_epoch integer, symbol text, exchange_order_id text, trade_id bigint)
     WHERE (f.account_id, f.market, f.environment_epoch, f.symbol, f.exchange_order_id, f.trade_id)
           = (k.account_id, k.market, k.environment_epoch, k.symbol, k.exchange_order_id, k.trade_id)
)
INSERT INTO bridge.event (kind, order_id, account_id, data)
SELECT kind, order_id, account_id, data
  FROM ROWS FROM (jsonb_to_recordset($5::jsonb)
                  AS (kind text, order_id uuid, account_id uuid, data jsonb))
       WITH ORDINALITY AS e (kind, order_id, account_id, data, place)
 ORDER BY place
