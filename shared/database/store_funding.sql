-- DESIGN 6: funding, once. The stream tells it at once and without an id, the income history later with one: the same payment is
-- known by asset, amount, symbol and a time that is less than ten minutes off. Returns how many were new.
-- $1 account  $2 environment epoch  $3 symbols  $4 assets  $5 amounts  $6 times  $7 transaction ids
WITH told AS (
    SELECT DISTINCT ON (coalesce(transaction_id::text, paid_at::text), symbol, asset, amount) *
      FROM unnest($3::text[], $4::text[], $5::numeric[], $6::timestamptz[], $7::bigint[])
           AS t (symbol, asset, amount, paid_at, transaction_id)
), met AS (
    SELECT t.*,
           (SELECT f.id FROM bridge.funding AS f
             WHERE f.account_id = $1 AND f.environment_epoch = $2 AND f.asset = t.asset
               AND CASE WHEN f.transaction_id IS NOT NULL AND t.transaction_id IS NOT NULL
                        THEN f.transaction_id = t.transaction_id
                        ELSE f.amount = t.amount AND (f.symbol = t.symbol OR f.symbol = '' OR t.symbol = '')
                             AND f.paid_at BETWEEN t.paid_at - interval '10 minutes' AND t.paid_at + interval '10 minutes' END
             ORDER BY f.symbol = t.symbol DESC, f.id LIMIT 1) AS known
      FROM told AS t
), named AS (
    UPDATE bridge.funding AS f
       SET transaction_id = m.transaction_id, symbol = m.symbol, paid_at = m.paid_at
      FROM met AS m
     WHERE f.id = m.known AND f.transaction_id IS NULL AND m.transaction_id IS NOT NULL
), stored AS (
    INSERT INTO bridge.funding (account_id, environment_epoch, symbol, asset, amount, paid_at, transaction_id)
    SELECT $1, $2, symbol, asset, amount, paid_at, transaction_id FROM met WHERE known IS NULL
 RETURNING account_id, symbol, asset, amount, paid_at
), noted AS (
    INSERT INTO bridge.event (kind, account_id, data)
    SELECT 'funding', account_id, jsonb_build_object('symbol', symbol, 'asset', asset, 'amount', amount, 'paid_at', paid_at)
      FROM stored
)
SELECT count(*) FROM stored
