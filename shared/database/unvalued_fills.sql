-- DESIGN 6: fills whose fee has no value in quote yet, because no price was to be had when they were stored.
-- $1 accounts  $2 market  $3 most
SELECT f.account_id, f.market, f.environment_epoch, f.symbol, f.exchange_order_id, f.trade_id, f.order_id,
       f.client_order_id, f.side, f.position_side, f.price, f.quantity, f.quote, f.commission, f.commission_asset,
       f.commission_in_quote, f.realized, f.is_maker, f.traded_at
  FROM bridge.fill AS f
 WHERE f.commission_in_quote IS NULL AND f.account_id = ANY ($1::uuid[]) AND f.market = $2::text
 ORDER BY f.stored_at
 LIMIT $3
