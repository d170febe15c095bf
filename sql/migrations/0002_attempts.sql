-- PROTOCOL 3, 6, 7 and 10: attempts, evidence, questions, epochs.

-- An epoch: one history of this database. It changes at a failover, a restore, a copy (PROTOCOL 10), not at a restart.
CREATE TABLE bridge.epoch (
    id                integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    system_identifier text        NOT NULL,
    timeline          text        NOT NULL,
    database_oid      oid         NOT NULL,
    postmaster_start  timestamptz NOT NULL,
    began_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    quarantine_until  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_entry_id     bigint      NOT NULL,   -- entries up to here are older than the change
    is_first          boolean     NOT NULL,
    why               text        NOT NULL
);

-- Whether an entry is older than a change of history and was not yet asked about under all nine ids: until then it is neither
-- claimed nor made final. Where the live server is not the recorded history the answer is yes: somebody has to look first.
CREATE FUNCTION bridge.awaits_round(entry_id bigint, asked_epoch integer) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    RETURN coalesce(
        (SELECT NOT (h.is_first OR entry_id > h.last_entry_id OR asked_epoch IS NOT DISTINCT FROM h.id)
                OR h.timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8)
                OR h.postmaster_start <> pg_postmaster_start_time()
           FROM bridge.epoch AS h ORDER BY h.id DESC LIMIT 1), true);

-- One intended POST. Committed before its first byte leaves (PROTOCOL 3).
CREATE TABLE bridge.attempt (
    order_id          uuid        NOT NULL,
    number            smallint    NOT NULL CHECK (number BETWEEN 1 AND 9),
    client_order_id   text        NOT NULL UNIQUE,
    account_id        uuid        NOT NULL,
    user_id           uuid        NOT NULL,
    market            text        NOT NULL,
    symbol            text        NOT NULL,       -- as the exchange writes it
    parameters        text        NOT NULL,       -- exactly what is signed, timestamp and recvWindow included
    signed_at_ms      bigint      NOT NULL,       -- the exchange's clock
    recv_window_ms    integer     NOT NULL,
    base_url          text        NOT NULL,
    api_key_hash      text        NOT NULL,
    account_uid       text,
    environment_epoch integer     NOT NULL DEFAULT 1,   -- of the base URL: a wiped testnet is another exchange
    epoch             integer     NOT NULL,
    token             uuid        NOT NULL,
    outcome           text        CHECK (outcome IN ('unknown', 'accepted', 'rejected', 'not_sent', 'absent')),
    reason_code       text,
    reason            text,
    exchange_order_id text,
    exchange_status   text,
    executed          numeric     NOT NULL DEFAULT 0,   -- cumulative, as the exchange last reported it
    executed_quote    numeric     NOT NULL DEFAULT 0,
    filled            numeric     NOT NULL DEFAULT 0,   -- sum of our stored fills: equal to executed, or there is a gap
    fee               numeric     NOT NULL DEFAULT 0,   -- in fee_asset
    fee_asset         text        NOT NULL DEFAULT '',  -- '' none yet; several assets: the quote asset, and fee in quote
    fee_in_quote      numeric     NOT NULL DEFAULT 0,
    base_asset        text        NOT NULL,
    quote_asset       text        NOT NULL,
    reported_at       timestamptz,
    claimed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at        timestamptz,
    late              boolean     NOT NULL DEFAULT false, -- found after it had been settled as not existing
    watched_until     timestamptz,                      -- judged absent: still looked for until then
    cancel_sent_at    timestamptz,
    PRIMARY KEY (order_id, number)
) WITH (fillfactor = 80);

-- PROTOCOL 6: at most one attempt per row may be or become an order.
CREATE UNIQUE INDEX attempt_one_live ON bridge.attempt (order_id)
    WHERE outcome IS NULL OR outcome IN ('unknown', 'accepted');
CREATE INDEX attempt_exchange_order ON bridge.attempt (account_id, market, symbol, exchange_order_id)
    WHERE exchange_order_id IS NOT NULL;
-- Orders per minute of a user (DESIGN 5).
CREATE INDEX attempt_user ON bridge.attempt (user_id, claimed_at);
CREATE INDEX attempt_gap ON bridge.attempt (account_id) WHERE executed > filled;
CREATE INDEX attempt_late ON bridge.attempt (order_id) WHERE late;
CREATE INDEX attempt_watched ON bridge.attempt (watched_until) WHERE watched_until IS NOT NULL;

-- PROTOCOL 6: no update leaves accepted.
CREATE FUNCTION bridge.refuse_unaccept() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'attempt % of order % is accepted; no update leaves accepted (PROTOCOL section 6)',
        OLD.number, OLD.order_id USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER attempt_accepted BEFORE UPDATE OF outcome ON bridge.attempt FOR EACH ROW
    WHEN (OLD.outcome = 'accepted' AND NEW.outcome IS DISTINCT FROM 'accepted')
    EXECUTE FUNCTION bridge.refuse_unaccept();

-- Positive evidence that an order exists: append-only, from any process, without token or lease, never undone.
CREATE TABLE bridge.evidence (
    id                bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    order_id          uuid        NOT NULL,
    number            smallint    NOT NULL,
    source            text        NOT NULL CHECK (source IN ('answer', 'stream', 'query', 'operator')),
    exchange_order_id text        NOT NULL,
    exchange_status   text        NOT NULL,
    late              boolean     NOT NULL,      -- it contradicts an outcome settled before
    seen_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (order_id, number, source, exchange_order_id)
);
CREATE FUNCTION bridge.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER evidence_append_only BEFORE UPDATE ON bridge.evidence FOR EACH ROW
    EXECUTE FUNCTION bridge.refuse_change();

-- PROTOCOL 7: what was asked about an unknown attempt, and what came back. Read by the judge of absence.
CREATE TABLE bridge.question (
    id               bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    order_id         uuid        NOT NULL,
    number           smallint    NOT NULL,
    kind             text        NOT NULL,
    sent_after_ms    bigint,                     -- an exchange answer had shown this serverTime before the question was sent
    result           text        NOT NULL CHECK (result IN ('found', 'empty', 'failed')),
    detail           text,
    api_key_hash     text        NOT NULL,
    account_uid      text,
    environment      text        NOT NULL,       -- base URL and its environment epoch
    epoch            integer     NOT NULL,
    asked_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX question_attempt ON bridge.question (order_id, number, id);

-- What every process must know: halts and reduce-only switches by operator, pauses by what the exchange said.
CREATE TABLE bridge.control (
    scope       text        NOT NULL CHECK (scope IN ('global', 'account', 'symbol')),
    key         text        NOT NULL,             -- '' for global, the account's id, the symbol without separators
    halted      boolean     NOT NULL DEFAULT false,
    reduce_only boolean     NOT NULL DEFAULT false,
    reason      text        NOT NULL DEFAULT '',
    set_by      text        NOT NULL DEFAULT current_user,
    set_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, key)
);
CREATE TABLE bridge.pause (
    scope  text        NOT NULL CHECK (scope IN ('address', 'account', 'key')),
    key    text        NOT NULL,                  -- base URL, or the account's id, on futures followed by the market
    until  timestamptz,                           -- null: until the account's row changes
    reason text        NOT NULL,
    account_version text,                         -- for a refused key: what the account's row looked like
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, key)
);

-- Audit trail and feed. Rows carry no NOTIFY of their own (DESIGN 4).
CREATE TABLE bridge.event (
    id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind       text        NOT NULL,
    order_id   uuid,
    account_id uuid,
    number     smallint,
    data       jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX event_order ON bridge.event (order_id, id) WHERE order_id IS NOT NULL;
