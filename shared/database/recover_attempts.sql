-- PROTOCOL 10: attempts this history has forgotten, made again from what the exchange shows of them. Only for rows we know.
-- $1 order ids  $2 numbers  $3 accounts  $4 client order ids  $5 symbols  $6 base assets  $7 quote assets
WITH forgotten AS MATERIALIZED (
    SELECT r.*, e.market, e.user_id,
           CASE WHEN e.market = 'futures' AND o.type::text IN ('stop_market', 'stop_limit')
                THEN 'algoType=CONDITIONAL' ELSE '' END AS parameters
      FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])
           AS r (order_id, number, account_id, client_order_id, symbol, base_asset, quote_asset)
      JOIN bridge.outbox AS e ON e.order_id = r.order_id AND e.account_id = r.account_id
      JOIN public.orders AS o ON o.id = r.order_id
     WHERE NOT EXISTS (SELECT FROM bridge.attempt AS a WHERE a.order_id = r.order_id AND a.number = r.number)
), entry AS (
    UPDATE bridge.outbox AS e
       SET attempts = greatest(e.attempts, f.number), has_evidence = true, token = NULL, lease_until = NULL
      FROM forgotten AS f WHERE e.order_id = f.order_id
), attempt AS (
    INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, symbol, parameters,
                                signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token, outcome, reason_code,
                                reason, base_asset, quote_asset)
    SELECT f.order_id, f.number, f.client_order_id, f.account_id, f.user_id, f.market, f.symbol, f.parameters, 0, 0, '', '',
           (SELECT max(id) FROM bridge.epoch), gen_random_uuid(),
           -- where another attempt is live, this one is late evidence
           CASE WHEN EXISTS (SELECT FROM bridge.attempt AS live
                              WHERE live.order_id = f.order_id
                                AND (live.outcome IS NULL OR live.outcome IN ('unknown', 'accepted')))
                THEN 'absent' ELSE 'unknown' END,
           'recovered', 'the database had forgotten this attempt; the exchange has it', f.base_asset, f.quote_asset
      FROM forgotten AS f
)
INSERT INTO bridge.event (kind, order_id, account_id, number)
SELECT 'recovered', order_id, account_id, number FROM forgotten
