-- PROTOCOL 3: claim and durable attempt in one commit. One row per call, so that a mismatch of the epoch is told apart from
-- an empty claim.
-- $1 what is to be sent, as JSON (`shared/database/claim.py: Intent`; worth 0: it only reduces; capital null: no strategy)
-- $2 recvWindow ms  $3 owner  $4 lease  $5 epoch  $6 timeline  $7 postmaster start
-- $8 what one of each quote asset is worth in USD, as JSON  $9 the entries  $10 orders per minute of a user  $11 twin window
WITH history AS MATERIALIZED (
    -- the history the worker read its rows in is still the one it writes to
    SELECT e.id, e.last_entry_id, e.is_first
      FROM bridge.epoch AS e
     WHERE e.id = $5::integer
       AND NOT EXISTS (SELECT FROM bridge.epoch AS newer WHERE newer.id > $5::integer)
       AND $6::text = left(pg_walfile_name(pg_current_wal_lsn()), 8)
       AND $7::timestamptz = pg_postmaster_start_time()
), intended AS (
    SELECT * FROM json_to_recordset($1::text::json) AS i (
        entry_id bigint, number smallint, row_xmin text, row_ctid text, client_order_id text, symbol text,
        parameters text, signed_at_ms bigint, base_url text, api_key_hash text, token uuid, base_asset text,
        quote_asset text, lot_step numeric, environment_epoch integer, quantity numeric, worth numeric, usd numeric,
        is_testnet boolean, position_cap numeric, exposure_cap numeric, capital numeric, trace text,
        announced text, account_version text, user_settings text)
), locked AS MATERIALIZED (
    -- row and entry together; a row the bot holds open is skipped, a row changed since the peek is not claimed
    SELECT i.*, e.order_id, e.account_id, e.user_id, e.strategy_id, e.market, e.side
      FROM intended AS i
      JOIN bridge.outbox AS e ON e.id = i.entry_id
      JOIN public.orders AS o ON o.id = e.order_id
     CROSS JOIN history AS h
     WHERE e.id = ANY ($9::bigint[])  -- never all of them, whichever side of the join a plan begins with
       AND e.state || '' IN ('new', 'backoff')  -- by its own id, not through the index of all that is new
       AND e.attempts = i.number - 1
       AND NOT e.has_evidence
       AND (e.not_before IS NULL OR e.not_before <= clock_timestamp())
       -- a row older than a change of history was asked about under all nine ids first (PROTOCOL 10)
       AND (h.is_first OR e.id > h.last_entry_id OR e.asked_epoch = h.id)
       AND o.status::text = CASE i.number WHEN 1 THEN 'pending' ELSE 'open' END
       AND CASE WHEN i.announced IS NULL THEN o.xmin::text = i.row_xmin AND o.ctid::text = i.row_ctid
                -- nobody has looked at this one: it still says what was announced, and all is as the worker knew it
                ELSE i.announced = bridge.announcement(e.id, e.created_at, o.id, o.user_id, e.account_id, o.strategy_id,
                                                       o.symbol, e.symbol, e.market, e.side, o.type::text, o.amount,
                                                       o.price, o.stop_price, o.agent_id, o.created_at)
                     AND o.exchange_account_id = e.account_id AND o.market_type::text = e.market AND o.side::text = e.side
                     AND NOT (e.reduces OR coalesce(o.reduce_only, false)) AND e.parent_id IS NULL
                     AND e.created_at > clock_timestamp() - interval '5 seconds'
                     AND EXISTS (SELECT FROM public.exchange_accounts AS x
                                  WHERE x.id = e.account_id AND x.xmin::text = i.account_version)
                     AND bridge.stands_alone(e, i.user_settings, i.capital, $10::integer, $11::interval) END
       AND NOT EXISTS (SELECT FROM bridge.control AS c
                        WHERE c.halted AND (c.scope = 'global'
                           OR (c.scope = 'account' AND c.key = e.account_id::text)
                           OR (c.scope = 'symbol' AND c.key = e.symbol)))
       AND NOT EXISTS (SELECT FROM bridge.pause AS p
                        WHERE (p.until IS NULL OR p.until > clock_timestamp())
                          AND ((p.scope = 'address' AND p.key = i.base_url)
                            OR (p.scope IN ('account', 'key')
                                AND p.key = e.account_id::text || CASE e.market WHEN 'spot' THEN '' ELSE ' ' || e.market END)))
     -- in the order of ids everywhere, and not by walking an index of all of them
     ORDER BY uuid_send(e.order_id)
       FOR UPDATE OF o, e SKIP LOCKED
), buyer AS MATERIALIZED (
    -- whose caps are asked (DESIGN 5), and how many of his claims the sums below know of
    SELECT l.user_id, coalesce(max(c.claims), 0) AS claims
      FROM locked AS l LEFT JOIN bridge.cap AS c ON c.user_id = l.user_id
     WHERE l.worth > 0
     GROUP BY l.user_id
), in_use AS MATERIALIZED (
    -- his open positions at what they cost or are worth, whichever is more, and what may still come of his orders
    SELECT u.*, coalesce(x.is_testnet, false) AS is_testnet, u.worth * r.usd AS usd
      FROM (SELECT p.user_id, p.account_id, p.market, p.symbol, p.strategy_id, h.quote_asset,
                   greatest(p.cost, p.size * coalesce(nullif(p.current_price, 0), p.last_price)) AS worth
              FROM buyer AS b
             CROSS JOIN LATERAL (SELECT * FROM bridge.position AS p WHERE p.user_id = b.user_id AND p.status = 'open'
                                 OFFSET 0) AS p  -- his, not everybody's
              JOIN bridge.holding AS h ON h.id = p.holding_id
             UNION ALL
            SELECT a.user_id, a.account_id, a.market, a.symbol, a.strategy_id, a.quote_asset,
                   greatest(a.reserved, a.executed_quote)
                   - coalesce(a.executed_quote * a.filled / nullif(a.executed, 0), 0)  -- this much is in a position already
              FROM buyer AS b
              JOIN bridge.attempt AS a ON a.user_id = b.user_id AND a.live AND a.reserved > 0) AS u
      LEFT JOIN public.exchange_accounts AS x ON x.id = u.account_id
      LEFT JOIN json_to_recordset($8::text::json) AS r (asset text, is_testnet boolean, usd numeric)
        ON r.asset = u.quote_asset AND r.is_testnet = coalesce(x.is_testnet, false)
), asked AS MATERIALIZED (
    SELECT l.*, used.position, used.exposure, used.strategy, used.unvalued
      FROM locked AS l
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(u.usd) FILTER (WHERE u.account_id = l.account_id AND u.market = l.market AND u.symbol = l.symbol
                                                AND u.strategy_id IS NOT DISTINCT FROM l.strategy_id), 0) AS position,
                  coalesce(sum(u.usd), 0) AS exposure,
                  coalesce(sum(u.usd) FILTER (WHERE u.strategy_id = l.strategy_id), 0) AS strategy,
                  min(u.quote_asset) FILTER (WHERE u.usd IS NULL) AS unvalued
             FROM in_use AS u
            WHERE u.user_id = l.user_id AND u.is_testnet = l.is_testnet) AS used
     WHERE l.worth > 0
), fitting AS MATERIALIZED (
    -- each on top of the rows before it in this very batch
    SELECT a.entry_id, a.user_id
      FROM (SELECT a.*, sum(a.usd) OVER same_position AS to_position, sum(a.usd) OVER all_positions AS to_exposure,
                   sum(a.usd) OVER same_strategy AS to_strategy
              FROM asked AS a
            WINDOW same_position AS (PARTITION BY a.account_id, a.market, a.symbol, a.strategy_id ORDER BY a.entry_id),
                   all_positions AS (PARTITION BY a.user_id, a.is_testnet ORDER BY a.entry_id),
                   same_strategy AS (PARTITION BY a.user_id, a.is_testnet, a.strategy_id ORDER BY a.entry_id)) AS a
     WHERE a.unvalued IS NULL
       AND a.position + a.to_position <= a.position_cap
       AND a.exposure + a.to_exposure <= a.exposure_cap
       AND (a.capital IS NULL OR a.strategy + a.to_strategy <= a.capital)
), reserved AS (
    -- passes only while no other claim of this user has been committed since the sums were read
    INSERT INTO bridge.cap AS c (user_id, claims)
    SELECT b.user_id, b.claims + 1 FROM buyer AS b
     WHERE b.user_id IN (SELECT f.user_id FROM fitting AS f OFFSET 0)
     ORDER BY b.user_id
        ON CONFLICT (user_id) DO UPDATE SET claims = excluded.claims WHERE c.claims = excluded.claims - 1
 RETURNING c.user_id
), passed AS MATERIALIZED (
    SELECT l.*
      FROM locked AS l
     WHERE l.worth = 0
        OR l.entry_id IN (SELECT f.entry_id FROM fitting AS f WHERE f.user_id IN (SELECT r.user_id FROM reserved AS r))
), opened AS (
    UPDATE public.orders AS o SET status = 'open'
      FROM passed AS p
     -- by its own id, not through the index of all that is pending
     WHERE o.id = p.order_id AND p.number = 1 AND o.status::text = 'pending'
 RETURNING o.id
), taken AS MATERIALIZED (
    SELECT p.* FROM passed AS p WHERE p.number > 1 OR p.order_id IN (SELECT id FROM opened)
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = 'sending', attempts = t.number, token = t.token, owner = $3::text,
           lease_until = clock_timestamp() + $4::interval, not_before = NULL, reason_code = NULL, reason = NULL,
           trace = t.trace, changed_at = clock_timestamp()
      FROM taken AS t
     WHERE e.id = t.entry_id
 RETURNING e.id
), attempt AS (
    INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, strategy_id, market, symbol, side,
                                parameters, signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token, base_asset,
                                quote_asset, lot_step, environment_epoch, quantity, reserved)
    SELECT t.order_id, t.number, t.client_order_id, t.account_id, t.user_id, t.strategy_id, t.market, t.symbol, t.side,
           t.parameters, t.signed_at_ms, $2::integer, t.base_url, t.api_key_hash, $5::integer, t.token, t.base_asset,
           t.quote_asset, t.lot_step, t.environment_epoch, t.quantity, t.worth
      FROM taken AS t
     WHERE t.entry_id IN (SELECT entry.id FROM entry)
 RETURNING order_id
)
SELECT EXISTS (SELECT FROM history) AS same_epoch,
       ARRAY(SELECT order_id FROM attempt) AS claimed,
       coalesce(dropped.orders, '{}') AS dropped, dropped.position, dropped.exposure, dropped.strategy, dropped.unvalued
  FROM (SELECT array_agg(a.order_id) AS orders, array_agg(a.position) AS position, array_agg(a.exposure) AS exposure,
               array_agg(a.strategy) AS strategy, array_agg(a.unvalued) AS unvalued
          FROM asked AS a
         WHERE a.entry_id NOT IN (SELECT p.entry_id FROM passed AS p)) AS dropped
