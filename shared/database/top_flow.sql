-- `bridge top`: flow, and latency of the last $1 within the newest 500 entries: what is read stays small whatever the history.
WITH newest AS MATERIALIZED (
    SELECT order_id, created_at FROM bridge.outbox ORDER BY id DESC LIMIT 500
), sent AS MATERIALIZED (
    SELECT extract(epoch FROM a.claimed_at - e.created_at)::float8 AS waited,
           extract(epoch FROM a.settled_at - a.claimed_at)::float8 AS answered, a.outcome
      FROM newest AS e JOIN bridge.attempt AS a ON a.order_id = e.order_id
     WHERE a.claimed_at > clock_timestamp() - $1::interval
)
SELECT (SELECT count(*) FROM bridge.outbox WHERE state = 'new') AS new,
       (SELECT count(*) FROM bridge.outbox WHERE state = 'backoff') AS backoff,
       (SELECT count(*) FROM bridge.outbox WHERE state = 'held') AS held,
       (SELECT count(*) FROM bridge.outbox WHERE state = 'sending') AS sending,
       (SELECT count(*) FROM bridge.outbox WHERE state = 'unknown') AS unknown,
       (SELECT count(*) FROM bridge.outbox WHERE state = 'submitted') AS submitted,
       (SELECT count(*) FROM sent) AS sent,
       (SELECT count(*) FROM sent WHERE outcome = 'accepted') AS accepted,
       (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY waited) FROM sent) AS to_claim_p50,
       (SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY waited) FROM sent) AS to_claim_p95,
       (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY answered) FROM sent) AS to_settled_p50,
       (SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY answered) FROM sent) AS to_settled_p95,
       clock_timestamp() AS at
