-- PROTOCOL 1 and 12: the outbox, and the trigger that fills it in the transaction of the bot's INSERT.
-- Everything of ours lives in schema bridge; the only things in public are the trigger and its dependence on public.orders.

-- One row per fact an operator may need later: when the bridge was switched on, and by what.
CREATE TABLE bridge.installation (
    id           integer     PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    installed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO bridge.installation DEFAULT VALUES;

CREATE SEQUENCE bridge.statement_id;       -- one value per INSERT statement of the bot: twins come from different statements
CREATE SEQUENCE bridge.trigger_failures;   -- counts what the trigger could not do; a sequence survives the caller's rollback

-- An entry: the bridge's line about one row of public.orders. No foreign key into the bot's tables.
CREATE TABLE bridge.outbox (
    id           bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    order_id     uuid        NOT NULL UNIQUE,
    user_id      uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    strategy_id  uuid,
    market       text        NOT NULL CHECK (market IN ('spot', 'futures')),
    symbol       text        NOT NULL,               -- as in the row, upper case, without separators: part of the key
    side         text        NOT NULL CHECK (side IN ('buy', 'sell')),
    reduces      boolean     NOT NULL,               -- a reduce-only row, or a spot sell: it can only make a position smaller
    parent_id    uuid,                               -- public.orders.parent_order_id: this row waits until that one is terminal
    statement_id bigint      NOT NULL,
    twin_key     bigint      NOT NULL,               -- hash of all that two twins have in common
    state        text        NOT NULL DEFAULT 'new'
                 CHECK (state IN ('new', 'held', 'sending', 'unknown', 'backoff', 'submitted', 'done')),
    reason_code  text,                               -- why it is held, waits or was rejected; one of the codes of the documentation
    reason       text,                               -- the same as a sentence
    attempts     smallint    NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 9),
    counted      smallint    NOT NULL DEFAULT 0 CHECK (counted BETWEEN 0 AND 3),   -- attempts judged absent
    has_evidence boolean     NOT NULL DEFAULT false, -- positive evidence exists for some attempt: never claim again
    adopted      boolean     NOT NULL DEFAULT false, -- an operator released it: neither twin nor age holds it again
    token        uuid,                               -- random; whoever holds it may settle
    owner        text,
    lease_until  timestamptz,                        -- in no index: renewals stay HOT updates
    not_before   timestamptz,                        -- back-off: not claimed before
    age_from     timestamptz NOT NULL DEFAULT clock_timestamp(),
    waited       interval    NOT NULL DEFAULT '0',   -- time spent waiting under PROTOCOL 11, not counted as age
    asked_epoch  integer,                            -- PROTOCOL 10: all nine ids were asked for in this epoch
    trace        text,                               -- W3C traceparent of the order's trace
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- The heads of the keys (PROTOCOL 11), the wake-up scan above the low-water mark, and what is in flight or at the exchange.
CREATE INDEX outbox_key       ON bridge.outbox (account_id, market, symbol, side, id)
    WHERE state IN ('new', 'backoff', 'sending', 'unknown');
CREATE INDEX outbox_ready     ON bridge.outbox (id) WHERE state IN ('new', 'backoff');
CREATE INDEX outbox_in_flight ON bridge.outbox (id) WHERE state IN ('sending', 'unknown');
CREATE INDEX outbox_submitted ON bridge.outbox (account_id, market, id) WHERE state = 'submitted';
CREATE INDEX outbox_held      ON bridge.outbox (id) WHERE state = 'held';
CREATE INDEX outbox_twin      ON bridge.outbox (twin_key, id);

-- PROTOCOL 12 as a constraint: an illegal move is an error, whoever makes it.
CREATE FUNCTION bridge.refuse_transition() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'entry of order % may not go from % to % (PROTOCOL section 12)', NEW.order_id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER outbox_transition BEFORE UPDATE OF state ON bridge.outbox FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND NOT (
           (OLD.state = 'new'       AND NEW.state IN ('sending', 'held', 'done'))
        OR (OLD.state = 'held'      AND NEW.state IN ('new', 'backoff', 'done'))
        OR (OLD.state = 'sending'   AND NEW.state IN ('submitted', 'done', 'unknown', 'backoff'))
        OR (OLD.state = 'unknown'   AND NEW.state IN ('submitted', 'done', 'backoff'))
        OR (OLD.state = 'backoff'   AND NEW.state IN ('sending', 'held', 'done'))
        OR (OLD.state = 'submitted' AND NEW.state = 'done')
        OR (OLD.state = 'done'      AND NEW.state = 'submitted' AND NEW.has_evidence)
        -- positive evidence for an attempt the database had forgotten or given up (PROTOCOL 6 and 10)
        OR (OLD.state IN ('new', 'held', 'backoff') AND NEW.state = 'submitted' AND NEW.has_evidence)))
    EXECUTE FUNCTION bridge.refuse_transition();

-- The entry of one row of the bot: the one place that says how the key and the twin key are made.
CREATE FUNCTION bridge.key_symbol(symbol text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    RETURN upper(translate(symbol, '/-_ ', ''));
CREATE FUNCTION bridge.twin_key(user_id uuid, account_id uuid, market text, symbol text, side text, type text,
                                amount numeric, price numeric, stop_price numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN hashtextextended(concat_ws('|', user_id, account_id, market, bridge.key_symbol(symbol), side, type,
                                      trim_scale(amount), trim_scale(coalesce(price, 0)),
                                      trim_scale(coalesce(stop_price, 0))), 0);

-- Called once per INSERT statement of the bot. It can never make that INSERT fail: every error is caught and counted, a lock
-- is waited for only briefly, and nothing is notified when the notification queue is filling up (the sweep finds the row).
CREATE FUNCTION bridge.take_in() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '250ms' AS $$
DECLARE
    statement bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM inserted WHERE status = 'pending') THEN
        RETURN NULL;
    END IF;
    statement := nextval('bridge.statement_id');
    INSERT INTO bridge.outbox (order_id, user_id, account_id, strategy_id, market, symbol, side, reduces, parent_id,
                               statement_id, twin_key)
    SELECT o.id, o.user_id, o.exchange_account_id, o.strategy_id, o.market_type::text, bridge.key_symbol(o.symbol),
           o.side::text, coalesce(o.reduce_only, false) OR (o.market_type::text = 'spot' AND o.side::text = 'sell'),
           o.parent_order_id, statement,
           bridge.twin_key(o.user_id, o.exchange_account_id, o.market_type::text, o.symbol, o.side::text, o.type::text,
                           o.amount, o.price, o.stop_price)
    FROM inserted AS o
    WHERE o.status = 'pending'
    ON CONFLICT (order_id) DO NOTHING;
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('bridge_orders', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    BEGIN
        PERFORM nextval('bridge.trigger_failures');
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- nothing of ours may reach the bot; the sweep takes the row in
    END;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION bridge.take_in() FROM PUBLIC;

CREATE TRIGGER bridge_take_in AFTER INSERT ON public.orders
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION bridge.take_in();

-- Rows from before the bridge was switched on are held: months-old orders are never sent by themselves. The trigger's lock on
-- public.orders is already ours, so no row can slip between the two.
INSERT INTO bridge.outbox (order_id, user_id, account_id, strategy_id, market, symbol, side, reduces, parent_id,
                           statement_id, twin_key, state, reason_code, reason)
SELECT o.id, o.user_id, o.exchange_account_id, o.strategy_id, o.market_type::text, bridge.key_symbol(o.symbol),
       o.side::text, coalesce(o.reduce_only, false) OR (o.market_type::text = 'spot' AND o.side::text = 'sell'),
       o.parent_order_id, 0,
       bridge.twin_key(o.user_id, o.exchange_account_id, o.market_type::text, o.symbol, o.side::text, o.type::text,
                       o.amount, o.price, o.stop_price),
       'held', 'from_before',
       'The order was there before the bridge was switched on. `bridge adopt` asks the exchange about it first.'
FROM public.orders AS o
WHERE o.status = 'pending'
ORDER BY o.created_at, o.id;
