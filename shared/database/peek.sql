-- PROTOCOL 2 and 11: the first ready row of each ready key, with all that sizing and guards want to know; no lock.
-- $1 low-water mark: the newest rows from here on are looked through for keys not yet known; null: they are not
-- $2 $3 $4 keys known to have a backlog  $5 most rows  $6 max_key_block  $7 twin window  $8 accounts served (null: all)
-- $9 orders per minute a user may send: nobody counts further
WITH fresh AS MATERIALIZED (
    -- what has just been inserted; `new_keys` finds what a burst leaves out here
    SELECT e.account_id, e.market, e.symbol
      FROM (SELECT account_id, market, symbol
              FROM bridge.outbox
             WHERE state IN ('new', 'backoff') AND id >= $1::bigint
             ORDER BY id DESC
             LIMIT 64) AS e
     WHERE $8::uuid[] IS NULL OR e.account_id = ANY ($8)
), keys AS (
    SELECT account_id, market, symbol FROM fresh
     UNION
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[])
), front AS MATERIALIZED (
    -- the first of each side of each key. Two kinds of row stand in nobody's way: what waits for its parent, which is not over
    -- before the exchange has said so, whatever the row says; and what has been unknown for long
    SELECT e.*
      FROM keys AS k
     CROSS JOIN (VALUES ('buy'), ('sell')) AS s (side)
     CROSS JOIN LATERAL (
           SELECT x.id, x.order_id, x.account_id, x.market, x.symbol, x.side, x.reduces, x.state, x.not_before,
                  x.attempts, x.counted, x.adopted, x.age_from, x.waited, x.twin_key, x.statement_id, x.created_at,
                  x.trace, x.reason_code, x.reason, x.asked_epoch
             FROM bridge.outbox AS x
            WHERE x.account_id = k.account_id AND x.market = k.market AND x.symbol = k.symbol AND x.side = s.side
              AND x.state IN ('new', 'backoff', 'sending', 'unknown')
              AND NOT (x.state = 'unknown' AND x.changed_at < clock_timestamp() - $6::interval)
              AND (x.parent_id IS NULL OR x.state NOT IN ('new', 'backoff')
                   OR NOT EXISTS (SELECT FROM public.orders AS parent
                                   WHERE parent.id = x.parent_id
                                     AND parent.status::text IN ('pending', 'open', 'partial'))
                  AND NOT EXISTS (SELECT FROM bridge.outbox AS parent
                                   WHERE parent.order_id = x.parent_id AND parent.state <> 'done'))
            ORDER BY x.id
            LIMIT 1) AS e
), weighed AS (
    SELECT f.*, f.id = min(f.id) OVER (PARTITION BY f.account_id, f.market, f.symbol) AS leads FROM front AS f
), ready AS MATERIALIZED (
    -- one in flight per key, in outbox order. A row that only reduces waits only for its own side, and, as long as for an
    -- unknown, for fills that the exchange has reported and we have not applied yet
    SELECT w.*
      FROM weighed AS w
     WHERE w.state IN ('new', 'backoff')
       AND (w.not_before IS NULL OR w.not_before <= clock_timestamp())
       AND CASE WHEN w.reduces
                THEN NOT EXISTS (SELECT FROM bridge.attempt AS gap
                                  WHERE gap.account_id = w.account_id AND gap.executed > gap.filled
                                    AND gap.market = w.market AND gap.symbol = w.symbol
                                    AND coalesce(gap.settled_at, gap.claimed_at) > clock_timestamp() - $6::interval)
                ELSE w.leads END
     ORDER BY w.id
     LIMIT $5::integer
), sender AS MATERIALIZED (
    SELECT u.id, u.is_active, u.settings,
           (SELECT count(*) FROM (SELECT FROM bridge.attempt AS sent
                                   WHERE sent.user_id = u.id
                                     AND sent.claimed_at > statement_timestamp() - interval '1 minute'
                                   LIMIT $9::integer) AS sent) AS sent_last_minute,
           -- asked only where there is anything to ask about: almost nobody's breaker has ever tripped
           CASE WHEN c.is_triggered OR b.user_id IS NOT NULL THEN bridge.breaker_reason(u.id) END AS breaker_reason
      FROM (SELECT DISTINCT o.user_id FROM ready AS r JOIN public.orders AS o ON o.id = r.order_id) AS mine
      JOIN public.users AS u ON u.id = mine.user_id
      LEFT JOIN public.circuit_breaker_states AS c ON c.user_id = u.id
      LEFT JOIN bridge.breaker AS b ON b.user_id = u.id
)
SELECT r.id AS entry_id, r.state, r.attempts, r.counted, r.adopted, r.trace, r.symbol AS key_symbol, r.reason_code, r.reason,
       r.created_at AS taken_in_at,
       clock_timestamp() - r.age_from - r.waited AS age,
       twin.order_id AS twin_of, twin.apart AS twin_apart,
       o.xmin::text AS row_xmin, o.ctid::text AS row_ctid,
       -- the row still says what it said when it was taken in; the nil UUID was resolved then
       (r.attempts > 0 OR (o.exchange_account_id IN (r.account_id, '00000000-0000-0000-0000-000000000000')
                           AND bridge.key_symbol(o.symbol) = r.symbol AND o.market_type::text = r.market
                           AND o.side::text = r.side)) AS as_taken_in,
       o.id, o.user_id, o.strategy_id, r.account_id AS exchange_account_id, o.symbol, r.market, r.side,
       o.type::text AS type, o.amount, coalesce(o.price, 0) AS price,
       coalesce(o.stop_price, 0) AS stop_price, coalesce(o.reduce_only, false) AS reduce_only,
       coalesce(o.agent_id, '') AS agent_id, coalesce(o.reasoning, '') AS reasoning, o.parent_order_id,
       -- what nobody can write down as a date is not read
       CASE WHEN o.created_at BETWEEN '0001-01-02' AND '9999-12-30' THEN o.created_at ELSE r.created_at END AS created_at,
       coalesce(nullif(parent.filled_amount, 'NaN'), 0) AS parent_filled,
       -- PROTOCOL 10: rows older than a change of history are asked about first, when its quarantine is over
       CASE WHEN NOT (h.is_first OR r.id > h.last_entry_id OR r.asked_epoch IS NOT DISTINCT FROM h.id)
            THEN h.quarantine_until END AS quarantined_until,
       a.id IS NOT NULL AS account_exists, a.user_id AS account_user_id, a.exchange::text AS exchange,
       a.api_key_encrypted, a.secret_encrypted, coalesce(a.is_testnet, false) AS is_testnet,
       coalesce(a.is_active, false) AS account_active, a.xmin::text AS account_version,
       CASE WHEN u.id IS NOT NULL THEN coalesce(u.is_active, false) END AS user_active,
       coalesce(u.settings::text, '{}') AS user_settings, coalesce(u.sent_last_minute, 0) AS sent_last_minute, u.breaker_reason,
       -- a strategy that is not there, or another user's, has no capital for this row
       CASE WHEN o.strategy_id IS NOT NULL THEN coalesce(nullif(s.allocated_capital, 'NaN'), 0) END AS strategy_capital,
       halt.scope AS halt_scope, halt.reason AS halt_reason,
       reducing.scope AS reduce_only_scope, reducing.reason AS reduce_only_reason
  FROM ready AS r
  -- cancelled meanwhile, or moved by somebody else: the sweep closes it
  JOIN public.orders AS o ON o.id = r.order_id AND o.status::text = CASE r.attempts WHEN 0 THEN 'pending' ELSE 'open' END
   -- words of a newer bot's: the sweep rejects such rows
   AND o.type::text IN ('market', 'limit', 'stop_market', 'stop_limit')
  LEFT JOIN public.exchange_accounts AS a ON a.id = r.account_id
  LEFT JOIN sender AS u ON u.id = o.user_id
  LEFT JOIN public.user_strategies AS s ON s.id = o.strategy_id AND s.user_id = o.user_id
  LEFT JOIN public.orders AS parent ON parent.id = o.parent_order_id
  LEFT JOIN (SELECT e.id, e.is_first, e.last_entry_id, e.quarantine_until
               FROM bridge.epoch AS e ORDER BY e.id DESC LIMIT 1) AS h ON true
  LEFT JOIN LATERAL (
       -- an equal row of another statement shortly before, that is not over (PROTOCOL 1)
       SELECT t.order_id, r.created_at - t.created_at AS apart
         FROM bridge.outbox AS t
         JOIN public.orders AS earlier ON earlier.id = t.order_id
        WHERE t.twin_key = r.twin_key AND t.id < r.id AND t.statement_id <> r.statement_id AND NOT r.adopted
          AND t.created_at > r.created_at - $7::interval
          AND earlier.status::text NOT IN ('rejected', 'canceled')
        ORDER BY t.id DESC LIMIT 1) AS twin ON true
  LEFT JOIN LATERAL (
       SELECT s.scope, s.reason FROM bridge.control AS s
        WHERE s.halted AND (s.scope = 'global' OR (s.scope = 'account' AND s.key = r.account_id::text)
                            OR (s.scope = 'symbol' AND s.key = r.symbol))
        ORDER BY s.scope DESC LIMIT 1) AS halt ON true
  LEFT JOIN LATERAL (
       SELECT s.scope, s.reason FROM bridge.control AS s
        WHERE s.reduce_only AND (s.scope = 'global' OR (s.scope = 'account' AND s.key = r.account_id::text)
                                 OR (s.scope = 'symbol' AND s.key = r.symbol))
        ORDER BY s.scope DESC LIMIT 1) AS reducing ON true
 ORDER BY r.id
