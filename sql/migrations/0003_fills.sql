-- DESIGN 6: fills, positions, streams.

-- The environment epoch rises when a testnet was wiped: the exchange then hands out the same order and trade ids again.
CREATE TABLE bridge.environment (
    base_url   text        PRIMARY KEY,
    epoch      integer     NOT NULL DEFAULT 1,
    began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    why        text        NOT NULL DEFAULT 'first seen'
);

-- One execution, stored once. Fees as charged, and their value in quote at a price fixed when first stored.
CREATE TABLE bridge.fill (
    account_id          uuid        NOT NULL,
    market              text        NOT NULL,
    environment_epoch   integer     NOT NULL,
    symbol              text        NOT NULL,
    exchange_order_id   text        NOT NULL,
    trade_id            bigint      NOT NULL,
    order_id            uuid,                    -- null: an order we did not place
    number              smallint,
    client_order_id     text        NOT NULL DEFAULT '',
    strategy_id         uuid,
    side                text        NOT NULL CHECK (side IN ('buy', 'sell')),
    position_side       text        NOT NULL DEFAULT 'BOTH',
    price               numeric     NOT NULL CHECK (price >= 0),
    quantity            numeric     NOT NULL CHECK (quantity > 0),
    quote               numeric     NOT NULL,
    commission          numeric     NOT NULL DEFAULT 0,
    commission_asset    text        NOT NULL DEFAULT '',
    commission_in_quote numeric,                 -- null until a price for the asset was to be had
    realized            numeric,                 -- futures: the exchange's own figure, to compare with ours
    is_maker            boolean     NOT NULL DEFAULT false,
    traded_at           timestamptz NOT NULL,
    source              text        NOT NULL,
    stored_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied             boolean     NOT NULL DEFAULT false,   -- counted into bridge.position
    PRIMARY KEY (account_id, market, environment_epoch, symbol, exchange_order_id, trade_id)
) WITH (fillfactor = 80);
CREATE INDEX fill_order ON bridge.fill (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX fill_unapplied ON bridge.fill (account_id, market, symbol, traded_at, trade_id) WHERE NOT applied;
CREATE INDEX fill_unvalued ON bridge.fill (account_id, market) WHERE commission_in_quote IS NULL;
CREATE INDEX fill_position ON bridge.fill (account_id, market, symbol, strategy_id, traded_at, trade_id);

-- What one account holds of one symbol for one strategy (spot) or on one side (futures): the fold's state between two fills.
-- The lives of a position, from its first fill to flat, are its rows in bridge.position.
CREATE TABLE bridge.holding (
    id                uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id        uuid        NOT NULL,
    market            text        NOT NULL,
    environment_epoch integer     NOT NULL,
    symbol            text        NOT NULL,          -- as the exchange writes it
    strategy_id       uuid,
    position_side     text        NOT NULL DEFAULT 'BOTH',
    user_id           uuid        NOT NULL,
    base_asset        text        NOT NULL,
    quote_asset       text        NOT NULL,
    dust_below        numeric     NOT NULL,          -- a rest smaller than this cannot be sold: it ends a life and is carried on
    cycles            integer     NOT NULL DEFAULT 0,
    dust              numeric     NOT NULL DEFAULT 0,
    dust_cost         numeric     NOT NULL DEFAULT 0,
    unmatched         numeric     NOT NULL DEFAULT 0, -- sold beyond what we knew was held
    unvalued          integer     NOT NULL DEFAULT 0, -- fills whose fee has no value in quote yet
    through_at        timestamptz,                   -- the newest fill counted in: an older one means folding again
    through_trade     bigint,
    through_order     text,
    opening_id        uuid,                          -- a row of the bot's that was there before us, and what it said
    opening_side      text        CHECK (opening_side IN ('long', 'short')),
    opening_size      numeric,
    opening_price     numeric,
    opening_at        timestamptz,
    changed_at        timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX holding_key ON bridge.holding
    (account_id, market, symbol, environment_epoch, coalesce(strategy_id, '00000000-0000-0000-0000-000000000000'),
     position_side);

-- The ledger of positions, full precision. public.positions is its projection and has the same id.
CREATE TABLE bridge.position (
    id             uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    holding_id     uuid        NOT NULL REFERENCES bridge.holding,
    number         integer     NOT NULL,          -- counts the lives of a holding from 1
    account_id     uuid        NOT NULL,
    user_id        uuid        NOT NULL,
    market         text        NOT NULL,
    symbol         text        NOT NULL,          -- as the exchange writes it
    display_symbol text        NOT NULL,          -- with the slash, as the bot writes it
    strategy_id    uuid,
    side           text        NOT NULL CHECK (side IN ('long', 'short')),
    size           numeric     NOT NULL,
    cost           numeric     NOT NULL,          -- of the open size, in quote
    entry_price    numeric     NOT NULL,
    peak           numeric     NOT NULL,          -- largest size it had
    exited         numeric     NOT NULL DEFAULT 0, -- base closed so far, and what it brought in quote
    exit_value     numeric     NOT NULL DEFAULT 0,
    realized       numeric     NOT NULL DEFAULT 0, -- net of fees, in quote
    fees           numeric     NOT NULL DEFAULT 0, -- in quote
    last_price     numeric     NOT NULL,          -- of the last fill
    current_price  numeric     NOT NULL DEFAULT 0,
    status         text        NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed', 'liquidated')),
    opening        boolean     NOT NULL DEFAULT false,  -- entered from a row of the bot's that was there before us
    opened_at      timestamptz NOT NULL,
    closed_at      timestamptz,
    bot_closed_at  timestamptz,                   -- the bot closed its row while we still hold this: not resurrected
    changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (holding_id, number)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX position_one_open ON bridge.position (holding_id) WHERE status = 'open';
CREATE INDEX position_open ON bridge.position (account_id, market, symbol) WHERE status = 'open';

-- The lot step at the time of the order: whatever is smaller than it cannot be sold any more.
ALTER TABLE bridge.attempt ADD COLUMN lot_step numeric NOT NULL DEFAULT 0;

-- Which listeners live: accounts are shared out evenly among them.
CREATE TABLE bridge.listener (
    name    text        PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- One connection that carries the streams of many accounts.
CREATE TABLE bridge.connection (
    id                  uuid        PRIMARY KEY,
    owner               text        NOT NULL,
    base_url            text        NOT NULL,
    opened_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    verified_through_ms bigint                   -- a probe on it was answered then, all frames before are applied
) WITH (fillfactor = 50);

-- Who listens for which account, and since when its stream is without a gap (PROTOCOL 7).
CREATE TABLE bridge.stream (
    account_id          uuid        NOT NULL,
    market              text        NOT NULL,
    owner               text,
    lease_until         timestamptz,
    connection_id       uuid,                    -- null: nobody hears it
    subscribed_at_ms    bigint,                  -- exchange's clock: every frame from here on reaches us
    problem             text,
    changed_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, market)
) WITH (fillfactor = 50);
CREATE INDEX stream_owner ON bridge.stream (owner);

-- Orders at the exchange that we did not place: recorded and flagged (DESIGN 6, PROTOCOL 10).
CREATE TABLE bridge.external_order (
    account_id        uuid        NOT NULL,
    market            text        NOT NULL,
    symbol            text        NOT NULL,
    exchange_order_id text        NOT NULL,
    client_order_id   text        NOT NULL,
    side              text        NOT NULL,
    type              text        NOT NULL,
    status            text        NOT NULL,
    executed          numeric     NOT NULL,
    flag              text        NOT NULL,      -- manual, bot, liquidation, adl, other_bridge, ...
    first_seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, market, symbol, exchange_order_id)
);
