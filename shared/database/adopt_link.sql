-- PROTOCOL 1: the exchange has an order for a held row that is none of ours: an attempt under that order's own client id, so
-- that what the exchange reports of it can be settled. $1 order  $2 who  $3 client order id  $4 symbol  $5 base asset
-- $6 quote asset  $7 lot step  $8 base URL  $9 environment epoch  $10 hash of the API key
WITH held AS MATERIALIZED (
    SELECT e.id, e.order_id, e.account_id, e.user_id, e.market, e.attempts + 1 AS number, e.reason_code
      FROM bridge.outbox AS e
      JOIN public.orders AS o ON o.id = e.order_id
     WHERE e.order_id = $1::uuid AND e.state = 'held' AND NOT e.has_evidence AND e.attempts < 9
       FOR UPDATE OF o, e
), entry AS (
    UPDATE bridge.outbox AS e
       SET attempts = h.number, adopted = true, changed_at = clock_timestamp()
      FROM held AS h
     WHERE e.id = h.id
), attempt AS (
    INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, symbol, parameters,
                                signed_at_ms, recv_window_ms, base_url, api_key_hash, environment_epoch, epoch, token,
                                outcome, reason_code, reason, base_asset, quote_asset, lot_step)
    SELECT h.order_id, h.number, $3::text, h.account_id, h.user_id, h.market, $4::text, '', 0, 0, $8::text, $10::text,
           $9::integer, (SELECT max(id) FROM bridge.epoch), gen_random_uuid(), 'unknown', 'linked',
           'an order somebody else sent, linked by an operator', $5::text, $6::text, $7::numeric
      FROM held AS h
), told AS (
    INSERT INTO bridge.event (kind, order_id, account_id, number, data)
    SELECT 'adopted', order_id, account_id, number,
           jsonb_build_object('how', 'link', 'by', $2::text, 'client_order_id', $3::text, 'was', reason_code)
      FROM held
)
SELECT number FROM held
