-- PROTOCOL 7: which of these orders we can attribute. $1 account  $2 market  $3 symbol  $4 the exchange's order ids
SELECT exchange_order_id FROM bridge.attempt
 WHERE account_id = $1 AND market = $2 AND symbol = $3 AND exchange_order_id = ANY ($4)
 UNION
SELECT exchange_order_id FROM bridge.external_order
 WHERE account_id = $1 AND market = $2 AND symbol = $3 AND exchange_order_id = ANY ($4)
