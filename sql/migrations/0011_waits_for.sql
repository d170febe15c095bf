-- PROTOCOL 11: what keeps an entry from its turn, asked of the entries themselves, so that nothing is written for a row that only stands
-- in line. The same conditions as in peek.sql; what a guard says of a row whose turn it is stands in outbox.reason_code.
-- No row: its turn has come. Without settings of its own, so that the planner puts it into the statement that calls it.
CREATE FUNCTION bridge.waits_for(entry bigint, max_key_block interval)
    RETURNS TABLE (code text, order_id uuid) LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT why.code, why.order_id
  FROM bridge.outbox AS e
 CROSS JOIN LATERAL (
       (SELECT 'parent_open' AS code, e.parent_id AS order_id
         WHERE EXISTS (SELECT FROM public.orders AS parent
                        WHERE parent.id = e.parent_id AND parent.status IN ('pending', 'open', 'partial'))
            OR EXISTS (SELECT FROM bridge.outbox AS parent WHERE parent.order_id = e.parent_id AND parent.state <> 'done'))
        UNION ALL
       (SELECT 'earlier_row', front.order_id
          FROM (VALUES ('buy'), ('sell')) AS s (side)
         CROSS JOIN LATERAL (
               SELECT x.id, x.order_id
                 FROM bridge.outbox AS x
                WHERE x.account_id = e.account_id AND x.market = e.market AND x.symbol = e.symbol AND x.side = s.side
                  AND x.state IN ('new', 'backoff', 'sending', 'unknown') AND x.id < e.id
                  AND NOT (x.state = 'unknown' AND x.changed_at < statement_timestamp() - max_key_block)
                  AND (x.parent_id IS NULL OR x.state NOT IN ('new', 'backoff')
                       OR NOT EXISTS (SELECT FROM public.orders AS parent
                                       WHERE parent.id = x.parent_id AND parent.status IN ('pending', 'open', 'partial'))
                      AND NOT EXISTS (SELECT FROM bridge.outbox AS parent
                                       WHERE parent.order_id = x.parent_id AND parent.state <> 'done'))
                ORDER BY x.id
                LIMIT 1) AS front
         WHERE s.side = e.side OR NOT e.reduces
         ORDER BY front.id
         LIMIT 1)
        UNION ALL
       (SELECT 'fills_missing', gap.order_id
          FROM bridge.attempt AS gap
         WHERE e.reduces AND gap.account_id = e.account_id AND gap.executed > gap.filled
           AND gap.market = e.market AND gap.symbol = e.symbol
           AND coalesce(gap.settled_at, gap.claimed_at) > statement_timestamp() - max_key_block
         LIMIT 1)
       ) AS why
 WHERE e.id = entry AND e.state IN ('new', 'backoff')
 LIMIT 1
$$;
