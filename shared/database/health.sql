-- How the flow of orders is, from partial indexes and the newest events. $1 how long a pending row may be without an entry
-- $2 how far back conflicts count
SELECT (SELECT count(*) FROM public.orders AS o
         WHERE o.status = 'pending' AND o.created_at < clock_timestamp() - $1::interval
           AND o.market_type::text IN ('spot', 'futures') AND o.side::text IN ('buy', 'sell')
           AND NOT EXISTS (SELECT FROM bridge.outbox AS e WHERE e.order_id = o.id)) AS not_taken_in,
       (SELECT count(*) FROM public.orders AS o
         WHERE o.status = 'pending'
           AND NOT (o.market_type::text IN ('spot', 'futures') AND o.side::text IN ('buy', 'sell'))) AS not_understood,
       (SELECT count(*) FROM bridge.outbox WHERE state IN ('new', 'backoff')) AS waiting,
       (SELECT clock_timestamp() - min(age_from) FROM bridge.outbox WHERE state IN ('new', 'backoff')) AS waiting_since,
       (SELECT reason_code FROM bridge.outbox WHERE state IN ('new', 'backoff') AND reason_code IS NOT NULL
         GROUP BY reason_code ORDER BY count(*) DESC LIMIT 1) AS waiting_for,
       (SELECT count(*) FROM bridge.outbox WHERE state = 'held') AS held,
       (SELECT count(*) FROM bridge.outbox WHERE state = 'unknown') AS unknown,
       (SELECT clock_timestamp() - min(changed_at) FROM bridge.outbox
         WHERE state = 'unknown') AS unknown_since,
       (SELECT count(*) FROM bridge.attempt WHERE executed > filled) AS gaps,
       (SELECT count(*) FROM bridge.evidence WHERE late AND seen_at > clock_timestamp() - $2::interval) AS late,
       (SELECT count(*) FROM bridge.event
         WHERE kind = 'moved_by_another' AND at > clock_timestamp() - $2::interval) AS moved_by_another,
       (SELECT count(*) FROM bridge.external_order
         WHERE flag = 'bot' AND first_seen_at > clock_timestamp() - $2::interval) AS sent_by_bot,
       (SELECT count(*) FROM bridge.listener WHERE seen_at > clock_timestamp() - interval '1 minute') AS listeners,
       (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'order\_executor%') AS executor_sessions,
       (SELECT count(*) FROM bridge.stream WHERE problem IS NOT NULL) AS stream_problems,
       (SELECT min(problem) FROM bridge.stream WHERE problem IS NOT NULL) AS stream_problem
