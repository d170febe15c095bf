-- Row, entry, attempt, evidence, fill, position and events in one commit.
-- $1 rows  $2 order ids of the exchange  $3 executed  $4 prices  $5 fees  $6 their assets  $7 trades
WITH answer AS MATERIALIZED (
    SELECT f.*, a.account_id, a.user_id, a.symbol, a.base_asset
      FROM unnest($1::uuid[], $2::text[], $3::numeric[], $4::numeric[], $5::numeric[], $6::text[], $7::bigint[])
           AS f (order_id, exchange_order_id, executed, price, fee, fee_asset, trade_id)
      JOIN bridge.attempt AS a ON a.order_id = f.order_id AND a.number = 1
), row_written AS (
    UPDATE public.orders AS o
       SET status = 'filled', exchange_order_id = f.exchange_order_id, filled_amount = f.executed, avg_fill_price = f.price,
           fee = f.fee, fee_currency = f.fee_asset, filled_at = clock_timestamp()
      FROM answer AS f WHERE o.id = f.order_id
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'done', has_evidence = true, token = NULL, lease_until = NULL, changed_at = clock_timestamp()
      FROM answer AS f WHERE e.order_id = f.order_id
), attempt AS (
    UPDATE bridge.attempt AS a
       SET outcome = 'accepted', exchange_order_id = f.exchange_order_id, exchange_status = 'FILLED', executed = f.executed,
           executed_quote = f.executed * f.price, filled = f.executed, fee = f.fee, fee_asset = f.fee_asset,
           reported_at = clock_timestamp(), settled_at = clock_timestamp()
      FROM answer AS f WHERE a.order_id = f.order_id AND a.number = 1
), evidence AS (
    INSERT INTO bridge.evidence (order_id, number, source, exchange_order_id, exchange_status, late)
    SELECT order_id, 1, 'answer', exchange_order_id, 'FILLED', false FROM answer
), fill AS (
    INSERT INTO bridge.fill (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id, order_id, number,
                             client_order_id, side, price, quantity, quote, commission, commission_asset,
                             commission_in_quote, traded_at, source, applied)
    SELECT account_id, 'spot', 1, symbol, exchange_order_id, trade_id, order_id, 1, '', 'buy', price, executed,
           price * executed, fee, fee_asset, fee * price, clock_timestamp(), 'answer', true
      FROM answer
), held AS MATERIALIZED (
    SELECT account_id, user_id, symbol, base_asset, sum(executed - fee) AS size, max(price) AS price
      FROM answer GROUP BY account_id, user_id, symbol, base_asset
), grown AS (
    UPDATE bridge.holding AS h SET cycles = 1, through_at = clock_timestamp(), changed_at = clock_timestamp()
      FROM held WHERE h.account_id = held.account_id AND h.symbol = held.symbol AND h.market = 'spot'
 RETURNING h.id, h.account_id, h.symbol
), begun AS (
    INSERT INTO bridge.holding (account_id, market, environment_epoch, symbol, user_id, base_asset, quote_asset, dust_below)
    SELECT account_id, 'spot', 1, symbol, user_id, base_asset, 'USDT', 0.00001 FROM held
     WHERE NOT EXISTS (SELECT FROM bridge.holding AS h
                        WHERE h.account_id = held.account_id AND h.symbol = held.symbol AND h.market = 'spot')
 RETURNING id, account_id, symbol
), life_grown AS (
    UPDATE bridge.position AS p
       SET size = p.size + held.size, cost = p.cost + held.size * held.price, last_price = held.price,
           changed_at = clock_timestamp()
      FROM grown JOIN held USING (account_id, symbol) WHERE p.holding_id = grown.id
 RETURNING p.id, p.size
), shown_grown AS (
    UPDATE public.positions AS p SET size = l.size FROM life_grown AS l WHERE p.id = l.id
), life_begun AS (
    INSERT INTO bridge.position (holding_id, number, account_id, user_id, market, symbol, display_symbol, side, size, cost,
                                 entry_price, peak, last_price, opened_at)
    SELECT begun.id, 1, held.account_id, held.user_id, 'spot', held.symbol, held.base_asset || '/USDT', 'long', held.size,
           held.size * held.price, held.price, held.size, held.price, clock_timestamp()
      FROM begun JOIN held USING (account_id, symbol)
 RETURNING id, user_id, account_id, display_symbol, size, entry_price
), shown_begun AS (
    INSERT INTO public.positions (id, user_id, exchange_account_id, symbol, market_type, side, size, entry_price)
    SELECT id, user_id, account_id, display_symbol, 'spot', 'long', size, entry_price FROM life_begun
)
INSERT INTO bridge.event (kind, order_id, account_id, number, data)
SELECT kind, order_id, account_id, 1, jsonb_build_object('status', 'filled', 'executed', executed)
  FROM answer CROSS JOIN unnest(ARRAY['accepted', 'filled', 'position_grown']) AS kind
