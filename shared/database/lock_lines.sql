-- PROTOCOL 6: lock row, entry and attempt of each finding, in the lock order (orders, outbox, attempts), and read them; last, and
-- in one order, the positions that told fills belong to, so that two transactions never wait for each other.
-- $1 order ids  $2 attempt numbers  $3 keys of the positions
WITH line AS MATERIALIZED (
SELECT o.id AS order_id, a.number, a.account_id, a.market, a.symbol, a.client_order_id, a.base_asset, a.quote_asset,
       o.status::text AS order_status, coalesce(o.reasoning, '') AS reasoning,
       e.state AS entry_state, e.attempts AS entry_attempts, e.counted, e.has_evidence, e.token,
       a.outcome, coalesce(a.exchange_order_id, '') AS exchange_order_id,
       coalesce(a.exchange_status, '') AS exchange_status, a.executed, a.executed_quote, a.filled, a.fee, a.fee_asset,
       a.fee_in_quote, a.environment_epoch, a.lot_step, a.reported_at, o.filled_at, o.strategy_id AS order_strategy_id,
       (SELECT max(h.id) FROM bridge.epoch AS h
         WHERE h.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
           AND h.postmaster_start = pg_postmaster_start_time()
           AND NOT EXISTS (SELECT FROM bridge.epoch AS newer WHERE newer.id > h.id)) AS live_epoch,
       a.late, e.trace,
       EXISTS (SELECT FROM bridge.attempt AS other
                WHERE other.order_id = a.order_id AND other.number <> a.number
                  AND (other.outcome IS NULL OR other.outcome IN ('unknown', 'accepted'))) AS another_attempt_live
  FROM unnest($1::uuid[], $2::smallint[]) AS f (order_id, number)
  JOIN public.orders  AS o ON o.id = f.order_id
  JOIN bridge.outbox  AS e ON e.order_id = f.order_id
  JOIN bridge.attempt AS a ON a.order_id = f.order_id AND a.number = f.number
 ORDER BY o.id
   FOR UPDATE OF o, e, a
), locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(key)
      FROM (SELECT DISTINCT hashtextextended(k, 0) AS key FROM unnest($3::text[]) AS k ORDER BY 1) AS sorted
     WHERE (SELECT count(*) FROM line) > 0
)
SELECT line.* FROM line WHERE (SELECT count(*) FROM locked) >= 0 ORDER BY order_id
