-- DESIGN 6, PROTOCOL 10: orders at the exchange that we did not place, recorded and flagged; the one new to us come back.
-- $1 accounts  $2 markets  $3 symbols  $4 the exchange's order ids  $5 client order ids  $6 sides  $7 types  $8 statuses
-- $9 executed  $10 flags
INSERT INTO bridge.external_order AS x (account_id, market, symbol, exchange_order_id, client_order_id, side, type, status,
                                        executed, flag)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::numeric[], $10::text[])
    ON CONFLICT (account_id, market, symbol, exchange_order_id) DO UPDATE
   SET status = CASE WHEN excluded.executed >= x.executed THEN excluded.status ELSE x.status END,
       executed = greatest(x.executed, excluded.executed), changed_at = clock_timestamp()
 WHERE excluded.executed > x.executed OR (excluded.executed = x.executed AND excluded.status <> x.status)
RETURNING x.account_id, x.symbol, x.exchange_order_id, x.client_order_id, x.flag, (x.xmax = 0) AS is_new
