-- Row, entry and attempt in one commit. $1 most rows  $2 as many random tokens
WITH mine AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, e.user_id, e.symbol, row_number() OVER () AS place
      FROM (SELECT x.id, x.order_id, x.account_id, x.user_id, x.symbol FROM bridge.outbox AS x
             WHERE x.state IN ('new', 'backoff') ORDER BY x.id LIMIT $1 FOR UPDATE SKIP LOCKED) AS e
), opened AS (
    UPDATE public.orders AS o SET status = 'open'
      FROM mine AS m WHERE o.id = m.order_id AND o.status = 'pending'
 RETURNING o.id, o.amount, o.side
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'sending', attempts = 1, token = ($2::uuid[])[m.place], owner = 'floor',
           lease_until = clock_timestamp() + interval '30 seconds', changed_at = clock_timestamp()
      FROM mine AS m WHERE e.id = m.id
)
INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, symbol, parameters, signed_at_ms,
                            recv_window_ms, base_url, api_key_hash, epoch, token, base_asset, quote_asset, lot_step)
SELECT m.order_id, 1, 'b' || replace(m.order_id::text, '-', '') || '-1', m.account_id, m.user_id, 'spot', m.symbol,
       'symbol=' || m.symbol || '&side=BUY&type=MARKET&newOrderRespType=FULL&quoteOrderQty=' || o.amount,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 5000, 'http://127.0.0.1', '', 1, ($2::uuid[])[m.place],
       left(m.symbol, -4), 'USDT', 0.00001
  FROM mine AS m JOIN opened AS o ON o.id = m.order_id
RETURNING order_id, client_order_id, account_id::text AS account, symbol, 'buy' AS side,
          split_part(parameters, 'quoteOrderQty=', 2) AS amount
