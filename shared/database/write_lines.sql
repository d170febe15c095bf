-- PROTOCOL 6: write settled lines: attempt, entry, row, evidence and audit event, in one statement. Evidence is append-only;
-- the same word from the same source is kept once. $1 the lines, $2 the evidence, both as JSON.
WITH evidence AS (
    INSERT INTO bridge.evidence (order_id, number, source, exchange_order_id, exchange_status, late)
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS v (
        order_id uuid, number smallint, source text, exchange_order_id text, exchange_status text, late boolean)
        ON CONFLICT (order_id, number, source, exchange_order_id) DO NOTHING
), line AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS l (
        order_id uuid, number smallint, account_id uuid, order_status text, reasoning text, entry_state text,
        counted smallint, has_evidence boolean, outcome text, exchange_order_id text, exchange_status text,
        executed numeric, priced numeric, executed_quote numeric, filled numeric, fee numeric, fee_asset text,
        fee_in_quote numeric, average_price numeric, reported_at timestamptz, filled_at timestamptz,
        reason_code text, reason text, late boolean, retry_after interval, row_changed boolean, events text[])
), row_written AS (
    UPDATE public.orders AS o
       SET status = l.order_status::public.order_status, exchange_order_id = l.exchange_order_id,
           filled_amount = l.priced, avg_fill_price = l.average_price, fee = l.fee, fee_currency = l.fee_asset,
           reasoning = l.reasoning, filled_at = coalesce(o.filled_at, l.filled_at)
      FROM line AS l
     WHERE o.id = l.order_id AND l.row_changed
), entry AS (
    UPDATE bridge.outbox AS e
       SET state = l.entry_state, counted = l.counted, has_evidence = l.has_evidence, reason_code = l.reason_code,
           reason = l.reason, not_before = clock_timestamp() + l.retry_after, changed_at = clock_timestamp(),
           token = CASE WHEN l.entry_state IN ('sending', 'unknown') THEN e.token END,
           lease_until = CASE WHEN l.entry_state = 'sending' THEN e.lease_until END
      FROM line AS l
     WHERE e.order_id = l.order_id
), attempt AS (
    UPDATE bridge.attempt AS a
       SET outcome = l.outcome, exchange_order_id = nullif(l.exchange_order_id, ''),
           exchange_status = l.exchange_status, executed = l.executed, executed_quote = l.executed_quote,
           filled = l.filled, fee = l.fee, fee_asset = l.fee_asset, fee_in_quote = l.fee_in_quote,
           reported_at = l.reported_at, late = l.late, reason_code = coalesce(l.reason_code, a.reason_code),
           reason = coalesce(l.reason, a.reason),
           settled_at = CASE WHEN l.outcome = 'unknown' THEN a.settled_at
                             ELSE coalesce(a.settled_at, clock_timestamp()) END,
           watched_until = CASE WHEN l.outcome = 'absent' THEN clock_timestamp() + interval '24 hours'
                                ELSE a.watched_until END
      FROM line AS l
     WHERE a.order_id = l.order_id AND a.number = l.number
)
INSERT INTO bridge.event (kind, order_id, account_id, number, data)
SELECT kind, l.order_id, l.account_id, l.number,
       jsonb_strip_nulls(jsonb_build_object(
           'status', l.order_status, 'executed', l.executed, 'exchange_order_id', nullif(l.exchange_order_id, ''),
           'reason_code', l.reason_code, 'reason', l.reason))
  FROM line AS l CROSS JOIN unnest(l.events) WITH ORDINALITY AS e (kind, place)
 ORDER BY l.order_id, e.place
