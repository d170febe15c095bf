-- DESIGN 6: the fills stored already of the orders that some new ones belong to; read after the orders' lines are locked.
-- $1 accounts  $2 markets  $3 epochs  $4 symbols  $5 the exchange's order ids
SELECT f.account_id, f.market, f.environment_epoch, f.symbol, f.exchange_order_id, f.trade_id, f.order_id,
       f.client_order_id, f.side, f.position_side, f.price, f.quantity, f.quote, f.commission, f.commission_asset,
       f.commission_in_quote, f.realized, f.is_maker, f.traded_at
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[])
       AS k (account_id, market, environment_epoch, symbol, exchange_order_id)
  JOIN bridge.fill AS f USING (account_id, market, environment_epoch, symbol, exchange_order_id)
