-- DESIGN 6: remember what an account holds, and report where more or less than our fills has changed since the last look.
-- At the first look there is nothing to compare with.
-- $1 account  $2 market  $3 environment epoch  $4 assets  $5 exchange  $6 ledger  $7 how much is rounding
WITH told AS (
    SELECT * FROM unnest($4::text[], $5::numeric[], $6::numeric[]) AS t (asset, exchange, ledger)
), before AS MATERIALIZED (
    SELECT asset, exchange - ledger AS rest FROM bridge.wallet
     WHERE account_id = $1 AND market = $2 AND environment_epoch = $3
), differing AS (
    SELECT t.asset, t.exchange, t.ledger, t.exchange - t.ledger - coalesce(b.rest, 0) AS change
      FROM told AS t LEFT JOIN before AS b USING (asset)
     WHERE abs(t.exchange - t.ledger - coalesce(b.rest, 0)) > $7 AND EXISTS (SELECT FROM before)
), written AS (
    INSERT INTO bridge.wallet (account_id, market, environment_epoch, asset, exchange, ledger)
    SELECT $1, $2, $3, asset, exchange, ledger FROM told
        ON CONFLICT (account_id, market, environment_epoch, asset) DO UPDATE
       SET exchange = excluded.exchange, ledger = excluded.ledger, checked_at = clock_timestamp()
), event AS (
    INSERT INTO bridge.event (kind, account_id, data)
    SELECT 'balance_differs', $1, jsonb_build_object('market', $2::text, 'asset', asset, 'exchange', exchange,
                                                      'ledger', ledger, 'change', change)
      FROM differing
)
SELECT asset, change FROM differing ORDER BY asset
