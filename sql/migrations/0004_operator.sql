-- DESIGN 5: what operators decide, and what is remembered for them: preferred accounts, tripped breakers, former keys.

-- Which account a user's rows, or those of one strategy, are meant for. Kept here because the bot would overwrite a key of
-- its own users.settings that it does not know.
CREATE TABLE bridge.preference (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    user_id     uuid        NOT NULL,
    strategy_id uuid,                              -- null: for whatever of this user has no preference of its own
    account_id  uuid        NOT NULL,
    set_by      text        NOT NULL DEFAULT current_user,
    set_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX preference_of ON bridge.preference
    (user_id, coalesce(strategy_id, '00000000-0000-0000-0000-000000000000'));

-- Choose the account for a new row of this user and strategy, and say why. Nothing is guessed: a preferred account that
-- cannot be used is not replaced by another, and of several accounts none is taken without a preference.
CREATE FUNCTION bridge.choose_account(for_user uuid, for_strategy uuid, OUT account_id uuid, OUT why text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    preferred record;
    usable    uuid[];
BEGIN
    SELECT p.account_id, p.strategy_id IS NOT NULL AS for_strategy, x.id IS NOT NULL AS there,
           x.user_id = for_user AND x.exchange::text = 'binance' AND coalesce(x.is_active, false) AS usable
      INTO preferred
      FROM bridge.preference AS p
      LEFT JOIN public.exchange_accounts AS x ON x.id = p.account_id
     WHERE p.user_id = for_user AND (p.strategy_id IS NULL OR p.strategy_id = for_strategy)
     ORDER BY p.strategy_id IS NULL
     LIMIT 1;
    IF FOUND THEN
        IF preferred.there AND preferred.usable THEN
            account_id := preferred.account_id;
            why := CASE WHEN preferred.for_strategy THEN 'preferred for the strategy' ELSE 'preferred by the user' END;
        ELSE
            why := 'the preferred account ' || preferred.account_id || ' is gone, inactive, not at Binance or not the user''s';
        END IF;
        RETURN;
    END IF;
    SELECT array_agg(x.id) INTO usable
      FROM public.exchange_accounts AS x
     WHERE x.user_id = for_user AND x.exchange::text = 'binance' AND coalesce(x.is_active, false);
    IF cardinality(usable) = 1 THEN
        account_id := usable[1];
        why := 'the user''s only active account at Binance';
    ELSIF usable IS NULL THEN
        why := 'the user has no active account at Binance';
    ELSE
        why := 'the user has ' || cardinality(usable) || ' active accounts at Binance and prefers none';
    END IF;
END $$;

-- For whoever makes rows: the account to name in orders.exchange_account_id, or null where none can be chosen.
CREATE FUNCTION bridge.resolve_account(for_user uuid, for_strategy uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'SELECT account_id FROM bridge.choose_account(for_user, for_strategy)';

-- The account an entry is for: the one its row names. A row that names the nil UUID (possible where the foreign key is
-- missing) is resolved as if its maker had asked; where nothing can be chosen it keeps the nil UUID and is rejected.
CREATE FUNCTION bridge.account_of(named uuid, for_user uuid, for_strategy uuid) RETURNS uuid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS 'SELECT CASE WHEN named = ''00000000-0000-0000-0000-000000000000''
                    THEN coalesce(bridge.resolve_account(for_user, for_strategy), named) ELSE named END';

-- The trigger of 0001 once more: the one change is that the nil UUID is resolved.
CREATE OR REPLACE FUNCTION bridge.take_in() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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
    SELECT o.id, o.user_id, bridge.account_of(o.exchange_account_id, o.user_id, o.strategy_id), o.strategy_id,
           o.market_type::text, bridge.key_symbol(o.symbol),
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

-- A circuit breaker the bot tripped. The bot un-trips its own row by accident and never resets it on purpose, so a trip
-- seen once counts until its reset_at passes or an operator clears it.
CREATE TABLE bridge.breaker (
    user_id    uuid        PRIMARY KEY,
    tripped_at timestamptz NOT NULL,               -- which trip it is: the bot's triggered_at
    reason     text        NOT NULL DEFAULT '',
    reset_at   timestamptz,                        -- the bot's; null: until an operator clears it
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    cleared_at timestamptz,
    cleared_by text
);

-- Why the breaker of a user stops his orders now: ours remembered, or the bot's own that we have not met yet; else null.
-- A trip an operator cleared stays cleared although the bot's row still shows it.
CREATE FUNCTION bridge.breaker_reason(of_user uuid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT b.reason FROM bridge.breaker AS b
          WHERE b.user_id = of_user AND b.cleared_at IS NULL AND (b.reset_at IS NULL OR b.reset_at > clock_timestamp())),
        (SELECT coalesce(c.trigger_reason, '') FROM public.circuit_breaker_states AS c
          WHERE c.user_id = of_user AND c.is_triggered
            -- a reset_at that lies before the trip is left over from an earlier day
            AND (c.reset_at IS NULL OR c.reset_at > clock_timestamp() OR c.reset_at <= c.triggered_at)
            AND NOT EXISTS (SELECT FROM bridge.breaker AS b
                             WHERE b.user_id = of_user
                               AND b.tripped_at >= coalesce(c.triggered_at, c.reset_at, '-infinity'))))
$$;

-- The bot's blobs from before a rotation of the encryption key, until somebody has seen that the new ones open.
CREATE TABLE bridge.former_key (
    rotation_id          uuid        NOT NULL,
    account_id           uuid        NOT NULL,
    api_key_encrypted    bytea       NOT NULL,
    secret_encrypted     bytea       NOT NULL,
    passphrase           bytea,
    listen_key_encrypted bytea,
    rotated_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (rotation_id, account_id)
);

-- Entries that were done before this moment may have been pruned: an order of ours without an attempt that is older than it
-- is history, not another bridge (PROTOCOL 10).
ALTER TABLE bridge.installation ADD COLUMN pruned_before timestamptz;
