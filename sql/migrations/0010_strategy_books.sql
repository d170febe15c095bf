-- The option of keeping the books of strategies (cash, transactions): which fills are booked, which orders wait for it, and what a
-- strategy owes because its cash may not become negative. Nothing of it is ever read on the path of a fill.
CREATE TABLE bridge.strategy_book (
    strategy_id uuid    PRIMARY KEY,
    owed        numeric NOT NULL DEFAULT 0 CHECK (owed >= 0)
);
CREATE TABLE bridge.strategy_booked (
    account_id        uuid    NOT NULL,
    environment_epoch integer NOT NULL,
    symbol            text    NOT NULL,
    exchange_order_id text    NOT NULL,
    trade_id          bigint  NOT NULL,
    PRIMARY KEY (account_id, environment_epoch, symbol, exchange_order_id, trade_id)
);
CREATE TABLE bridge.strategy_due (
    order_id    uuid        PRIMARY KEY,
    strategy_id uuid        NOT NULL,
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
