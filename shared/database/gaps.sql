-- DESIGN 6: orders of some accounts that executed more than their fills say, and have for a moment: their events are lost.
-- $1 accounts  $2 market  $3 how long
SELECT a.order_id, a.number, a.account_id, a.symbol, a.client_order_id, a.exchange_order_id, a.base_asset, a.quote_asset,
       a.executed, a.filled, a.conditional
  FROM bridge.attempt AS a
 WHERE a.account_id = ANY ($1::uuid[]) AND a.market = $2::text AND a.executed > a.filled
   AND a.settled_at < clock_timestamp() - $3::interval
