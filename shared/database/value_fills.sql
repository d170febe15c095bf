-- DESIGN 6: fix the value of fees once; what had one keeps it. The order's fee changes too where it is shown in quote because
-- several assets were charged. Returns the holdings to fold again. The rows of the orders are locked already.
-- $1 accounts  $2 markets  $3 epochs  $4 symbols  $5 the exchange's order ids  $6 trade ids  $7 values in quote
WITH valued AS (
    UPDATE bridge.fill AS f
       SET commission_in_quote = v.value
      FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::numeric[])
           AS v (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id, value)
     WHERE f.account_id = v.account_id AND f.market = v.market AND f.environment_epoch = v.environment_epoch
       AND f.symbol = v.symbol AND f.exchange_order_id = v.exchange_order_id AND f.trade_id = v.trade_id
       AND f.commission_in_quote IS NULL
 RETURNING f.account_id, f.market, f.environment_epoch, f.symbol, f.strategy_id, f.position_side, f.order_id, f.number,
           f.commission_in_quote AS value
), attempt AS (
    UPDATE bridge.attempt AS a
       SET fee_in_quote = a.fee_in_quote + s.value,
           fee = CASE WHEN s.in_quote THEN a.fee + s.value ELSE a.fee END
      FROM (SELECT v.order_id, v.number, sum(v.value) AS value,
                   (SELECT count(DISTINCT f.commission_asset) > 1 FROM bridge.fill AS f
                     WHERE f.order_id = v.order_id AND f.commission > 0) AS in_quote
              FROM valued AS v GROUP BY v.order_id, v.number) AS s
     WHERE a.order_id = s.order_id AND a.number = s.number
 RETURNING a.order_id, a.fee, s.in_quote
), shown AS (
    UPDATE public.orders AS o SET fee = a.fee FROM attempt AS a WHERE o.id = a.order_id AND a.in_quote
)
SELECT DISTINCT h.id
  FROM valued AS v
  JOIN bridge.holding AS h
    ON h.account_id = v.account_id AND h.market = v.market AND h.symbol = v.symbol
   AND h.environment_epoch = v.environment_epoch AND h.position_side = v.position_side
   AND coalesce(h.strategy_id, '00000000-0000-0000-0000-000000000000')
       = coalesce(v.strategy_id, '00000000-0000-0000-0000-000000000000')
 WHERE h.wiped_at IS NULL
