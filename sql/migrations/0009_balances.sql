-- DESIGN 6: what an account held at the exchange when it was last compared, and what our fills alone come to. The rest (deposits,
-- what was there before us) stays the same from look to look; a change of it is reported and never corrected.
CREATE TABLE bridge.balance (
    account_id        uuid        NOT NULL,
    environment_epoch integer     NOT NULL,
    asset             text        NOT NULL,
    exchange          numeric     NOT NULL,      -- free and locked
    ledger            numeric     NOT NULL,      -- sum over our fills, fees included
    checked_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, environment_epoch, asset)
) WITH (fillfactor = 70);
