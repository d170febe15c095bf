-- PROTOCOL 3: claim and durable attempt in one commit. One row per call, so that a mismatch of the epoch is told apart from
-- an empty claim.
-- $1 entry ids  $2 numbers  $3 xmin  $4 ctid  $5 client order ids  $6 symbols  $7 parameters  $8 signing timestamps
-- $9 base URLs  $10 hashes of the API keys  $11 tokens  $12 recvWindow ms  $13 owner  $14 lease
-- $15 epoch  $16 timeline  $17 postmaster start  $18 base assets  $19 quote assets  $20 lot steps
-- $21 environment epochs
WITH history AS MATERIALIZED (
    -- the history the worker read its rows in is still the one it writes to
    SELECT e.id, e.last_entry_id, e.is_first
      FROM bridge.epoch AS e
     WHERE e.id = $15::integer
       AND NOT EXISTS (SELECT FROM bridge.epoch AS newer WHERE newer.id > $15::integer)
       AND $16::text = left(pg_walfile_name(pg_current_wal_lsn()), 8)
       AND $17::timestamptz = pg_postmaster_start_time()
), intended AS (
    SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::bigint[], $9::text[], $10::text[], $11::uuid[], $18::text[], $19::text[], $20::numeric[],
                         $21::integer[])
        AS i (entry_id, number, row_xmin, row_ctid, client_order_id, symbol, parameters, signed_at_ms, base_url,
              api_key_hash, token, base_asset, quote_asset, lot_step, environment_epoch)
), locked AS MATERIALIZED (
    -- row and entry together; a row the bot holds open is skipped, a row changed since the peek is not claimed
    SELECT i.*, e.order_id, e.account_id, e.user_id, e.market
      FROM intended AS i
      JOIN bridge.outbox AS e ON e.id = i.entry_id
      JOIN public.orders AS o ON o.id = e.order_id
     CROSS JOIN history AS h
     WHERE e.state IN ('new', 'backoff')
       AND e.attempts = i.number - 1
       AND NOT e.has_evidence
       AND (e.not_before IS NULL OR e.not_before <= clock_timestamp())
       -- a row older than a change of history was asked about under all nine ids first (PROTOCOL 10)
       AND (h.is_first OR e.id > h.last_entry_id OR e.asked_epoch = h.id)
       AND o.status::text = CASE i.number WHEN 1 THEN 'pending' ELSE 'open' END
       AND o.xmin::text = i.row_xmin AND o.ctid::text = i.row_ctid
       AND NOT EXISTS (SELECT FROM bridge.control AS c
                        WHERE c.halted AND (c.scope = 'global'
                           OR (c.scope = 'account' AND c.key = e.account_id::text)
                           OR (c.scope = 'symbol' AND c.key = e.symbol)))
       AND NOT EXISTS (SELECT FROM bridge.pause AS p
                        WHERE (p.until IS NULL OR p.until > clock_timestamp())
                          AND ((p.scope = 'address' AND p.key = i.base_url)
                            OR (p.scope IN ('account', 'key') AND p.key = e.account_id::text)))
     ORDER BY e.order_id
       FOR UPDATE OF o, e SKIP LOCKED
), opened AS (
    UPDATE public.orders AS o SET status = 'open'
      FROM locked AS l
     WHERE o.id = l.order_id AND l.number = 1 AND o.status = 'pending'
 RETURNING o.id
), taken AS MATERIALIZED (
    SELECT l.* FROM locked AS l WHERE l.number > 1 OR l.order_id IN (SELECT id FROM opened)
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'sending', attempts = t.number, token = t.token, owner = $13::text,
           lease_until = clock_timestamp() + $14::interval, not_before = NULL, reason_code = NULL, reason = NULL,
           changed_at = clock_timestamp()
      FROM taken AS t
     WHERE e.id = t.entry_id
 RETURNING e.id
), attempt AS (
    INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, symbol, parameters, signed_at_ms,
                                recv_window_ms, base_url, api_key_hash, epoch, token, base_asset, quote_asset,
                                lot_step, environment_epoch)
    SELECT t.order_id, t.number, t.client_order_id, t.account_id, t.user_id, t.market, t.symbol, t.parameters, t.signed_at_ms,
           $12::integer, t.base_url, t.api_key_hash, $15::integer, t.token, t.base_asset, t.quote_asset, t.lot_step,
           t.environment_epoch
      FROM taken AS t JOIN entry ON entry.id = t.entry_id
 RETURNING order_id
)
SELECT EXISTS (SELECT FROM history) AS same_epoch,
       ARRAY(SELECT order_id FROM attempt) AS claimed
