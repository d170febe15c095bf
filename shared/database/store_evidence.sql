-- PROTOCOL 6: positive evidence, append-only; the same word from the same source is kept once.
INSERT INTO bridge.evidence (order_id, number, source, exchange_order_id, exchange_status, late)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::boolean[])
    ON CONFLICT (order_id, number, source, exchange_order_id) DO NOTHING
