-- DESIGN 6, PROTOCOL 7: futures. Conditional orders, what was set per symbol, funding.

-- It went to the futures exchange's algo service, which has ids and questions of its own; told by what was signed.
ALTER TABLE bridge.attempt
    ADD COLUMN conditional boolean NOT NULL GENERATED ALWAYS AS (parameters LIKE 'algoType=CONDITIONAL%') STORED;

-- Leverage and margin mode are set before the first order of an account on a symbol, once; whoever changes them at the exchange
-- later meant to.
CREATE TABLE bridge.futures_setting (
    account_id        uuid        NOT NULL,
    environment_epoch integer     NOT NULL,
    symbol            text        NOT NULL,      -- as the exchange writes it
    leverage          integer,                   -- null: not set by us
    margin_mode       text        CHECK (margin_mode IN ('cross', 'isolated')),
    set_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, environment_epoch, symbol)
);

-- Funding received (positive) or paid. The stream tells it at once, the income history with a transaction id.
CREATE TABLE bridge.funding (
    id                bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    account_id        uuid        NOT NULL,
    environment_epoch integer     NOT NULL,
    symbol            text        NOT NULL,      -- '': the exchange did not say
    asset             text        NOT NULL,
    amount            numeric     NOT NULL,
    paid_at           timestamptz NOT NULL,
    transaction_id    bigint,                    -- null until the income history has told it
    stored_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX funding_transaction ON bridge.funding (account_id, environment_epoch, transaction_id, asset)
    WHERE transaction_id IS NOT NULL;
CREATE INDEX funding_account ON bridge.funding (account_id, environment_epoch, paid_at);
