-- DESIGN 6: store executions of orders that are not ours, once. What comes back was new; the rest was there, which the caller compares.
-- The positions they belong to are locked. $1 accounts  $2 markets  $3 epochs  $4 symbols  $5 the exchange's order ids  $6 trade ids
-- $7 rows  $8 attempt numbers  $9 client order ids  $10 strategies  $11 sides  $12 position sides  $13 prices  $14 quantities
-- $15 quotes  $16 commissions  $17 their assets  $18 their values in quote  $19 realized  $20 maker  $21 trade times  $22 sources
INSERT INTO bridge.fill (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id, order_id, number,
                         client_order_id, strategy_id, side, position_side, price, quantity, quote, commission,
                         commission_asset, commission_in_quote, realized, is_maker, traded_at, source)
SELECT *
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::uuid[], $8::smallint[],
              $9::text[], $10::uuid[], $11::text[], $12::text[], $13::numeric[], $14::numeric[], $15::numeric[],
              $16::numeric[], $17::text[], $18::numeric[], $19::numeric[], $20::boolean[], $21::timestamptz[],
              $22::text[])
    ON CONFLICT (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id) DO NOTHING
RETURNING account_id, market, environment_epoch, symbol, exchange_order_id, trade_id
