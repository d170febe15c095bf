-- PROTOCOL 2 and 11: the first ready row of each ready key, with all that sizing and guards want to know; no lock.
-- $1 low-water mark: ids from here on are looked through for keys not yet known; a row that a transaction open for longer
--    committed below it is found by the sweep  $2 $3 $4 keys known to have a backlog  $5 most rows  $6 max_key_block
-- $7 twin window  $8 accounts served (null: all)
WITH fresh AS MATERIALIZED (
    SELECT DISTINCT account_id, market, symbol
      FROM bridge.outbox
     WHERE state IN ('new', 'backoff') AND id >= $1::bigint
       AND ($8::uuid[] IS NULL OR account_id = ANY ($8))
), keys AS (
    SELECT account_id, market, symbol FROM fresh
     UNION
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[])
), front AS MATERIALIZED (
    -- the first few of each side of each key; rows that wait for their parent do not block others (PROTOCOL 11)
    SELECT e.*, NOT (e.state = 'unknown' AND e.changed_at < clock_timestamp() - $6::interval) AS blocks
      FROM keys AS k
     CROSS JOIN (VALUES ('buy'), ('sell')) AS s (side)
     CROSS JOIN LATERAL (
           SELECT x.id, x.order_id, x.account_id, x.market, x.symbol, x.side, x.reduces, x.state, x.not_before,
                  x.attempts, x.counted, x.adopted, x.age_from, x.waited, x.twin_key, x.statement_id, x.created_at,
                  x.changed_at, x.trace, x.reason_code
             FROM bridge.outbox AS x
            WHERE x.account_id = k.account_id AND x.market = k.market AND x.symbol = k.symbol AND x.side = s.side
              AND x.state IN ('new', 'backoff', 'sending', 'unknown')
              AND (x.parent_id IS NULL OR x.state NOT IN ('new', 'backoff')
                   OR NOT EXISTS (SELECT FROM public.orders AS parent
                                   WHERE parent.id = x.parent_id
                                     AND parent.status IN ('pending', 'open', 'partial')))
            ORDER BY x.id
            LIMIT 4) AS e
), weighed AS (
    -- how many earlier rows of the key, and of its side, are still in the way; an unknown one not for ever
    SELECT f.*, count(*) FILTER (WHERE f.blocks) OVER earlier AS before, count(*) FILTER (WHERE f.blocks) OVER side AS before_it
      FROM front AS f
    WINDOW earlier AS (PARTITION BY f.account_id, f.market, f.symbol
                           ORDER BY f.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
           side    AS (PARTITION BY f.account_id, f.market, f.symbol, f.side
                           ORDER BY f.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), ready AS MATERIALIZED (
    -- one in flight per key, in outbox order; a row that only reduces waits only for its own side
    SELECT w.*
      FROM weighed AS w
     WHERE w.state IN ('new', 'backoff')
       AND (w.not_before IS NULL OR w.not_before <= clock_timestamp())
       AND CASE WHEN w.reduces THEN w.before_it ELSE w.before END = 0
     ORDER BY w.id
     LIMIT $5::integer
)
SELECT r.id AS entry_id, r.state, r.attempts, r.counted, r.adopted, r.trace, r.symbol AS key_symbol, r.reason_code,
       r.created_at AS taken_in_at,
       clock_timestamp() - r.age_from - r.waited AS age,
       twin.order_id AS twin_of, twin.apart AS twin_apart,
       o.xmin::text AS row_xmin, o.ctid::text AS row_ctid,
       o.id, o.user_id, o.strategy_id, o.exchange_account_id, o.symbol, o.market_type::text AS market, o.side::text AS side,
       o.type::text AS type, o.status::text AS status, o.amount, coalesce(o.price, 0) AS price,
       coalesce(o.stop_price, 0) AS stop_price, coalesce(o.reduce_only, false) AS reduce_only,
       coalesce(o.agent_id, '') AS agent_id, coalesce(o.reasoning, '') AS reasoning, o.parent_order_id, o.created_at,
       a.id IS NOT NULL AS account_exists, a.user_id AS account_user_id, a.exchange::text AS exchange,
       a.api_key_encrypted, a.secret_encrypted, coalesce(a.is_testnet, false) AS is_testnet,
       coalesce(a.is_active, false) AS account_active, a.xmin::text AS account_version,
       CASE WHEN u.id IS NOT NULL THEN coalesce(u.is_active, false) END AS user_active,
       coalesce(u.settings, '{}') AS user_settings,
       CASE WHEN c.is_triggered THEN coalesce(c.trigger_reason, '') END AS breaker_reason,
       (SELECT count(*) FROM bridge.attempt AS sent
         WHERE sent.user_id = o.user_id AND sent.claimed_at > statement_timestamp() - interval '1 minute') AS sent_last_minute,
       halt.scope AS halt_scope, halt.reason AS halt_reason,
       reducing.scope AS reduce_only_scope, reducing.reason AS reduce_only_reason
  FROM ready AS r
  JOIN public.orders AS o ON o.id = r.order_id
  LEFT JOIN public.exchange_accounts AS a ON a.id = o.exchange_account_id
  LEFT JOIN public.users AS u ON u.id = o.user_id
  LEFT JOIN public.circuit_breaker_states AS c ON c.user_id = o.user_id
  LEFT JOIN LATERAL (
       -- an equal row of another statement shortly before, that is not over (PROTOCOL 1)
       SELECT t.order_id, r.created_at - t.created_at AS apart
         FROM bridge.outbox AS t
         JOIN public.orders AS earlier ON earlier.id = t.order_id
        WHERE t.twin_key = r.twin_key AND t.id < r.id AND t.statement_id <> r.statement_id AND NOT r.adopted
          AND t.created_at > r.created_at - $7::interval
          AND earlier.status NOT IN ('rejected', 'canceled')
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
