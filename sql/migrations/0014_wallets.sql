-- DESIGN 6: what the wallets of an account held when they were last compared, on either market, and what our ledger comes to. Takes the
-- place of bridge.balance, which knew spot only and which listeners of the version before still write.
CREATE TABLE bridge.wallet (
    account_id        uuid        NOT NULL,
    market            text        NOT NULL,
    environment_epoch integer     NOT NULL,
    asset             text        NOT NULL,
    exchange          numeric     NOT NULL,      -- spot: free and locked; futures: the wallet, without what is not realized
    ledger            numeric     NOT NULL,      -- spot: sum over our fills; futures: realized profit and funding; fees included
    checked_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, market, environment_epoch, asset)
) WITH (fillfactor = 70);
INSERT INTO bridge.wallet (account_id, market, environment_epoch, asset, exchange, ledger, checked_at)
SELECT account_id, 'spot', environment_epoch, asset, exchange, ledger, checked_at FROM bridge.balance;
