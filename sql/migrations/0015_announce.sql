-- PROTOCOL 2: the notification of a single row carries what a worker has to know of it, so that nobody has to look first. The
-- claim makes the same text again from what it has locked: a row that has changed, or a text that was made up, is not claimed.

-- What is announced of an entry and its row. No free text of the bot's but the agent's name; moments as seconds, which read the
-- same in every time zone.
CREATE FUNCTION bridge.announcement(entry_id bigint, taken_in_at timestamptz, order_id uuid, user_id uuid, account_id uuid,
                                    strategy_id uuid, symbol text, key_symbol text, market text, side text, type text,
                                    amount numeric, price numeric, stop_price numeric, agent_id text, created_at timestamptz)
    RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN json_build_array(entry_id, extract(epoch FROM taken_in_at)::text, order_id, user_id, account_id, strategy_id, symbol,
                            key_symbol, market, side, type, amount::text, coalesce(price, 0)::text,
                            coalesce(stop_price, 0)::text, coalesce(agent_id, ''), extract(epoch FROM created_at)::text)::text;

-- What the look tells of a row's surroundings, asked in the claim of an announced one: first and only one of its key, no equal
-- row shortly before, user and strategy as they were known, nothing switched off or tripped, not too many in this minute.
CREATE FUNCTION bridge.stands_alone(entry bridge.outbox, known_settings text, capital numeric, most_per_minute integer,
                                    twin_window interval)
    RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN NOT EXISTS (SELECT FROM bridge.outbox AS other
                        WHERE other.account_id = entry.account_id AND other.market = entry.market
                          AND other.symbol = entry.symbol AND other.side IN ('buy', 'sell')
                          AND other.state IN ('new', 'backoff', 'sending', 'unknown') AND other.id <> entry.id)
           AND NOT EXISTS (SELECT FROM bridge.outbox AS twin
                            WHERE twin.twin_key = entry.twin_key AND twin.id < entry.id
                              AND twin.created_at > entry.created_at - twin_window)
           AND NOT EXISTS (SELECT FROM bridge.control AS c WHERE c.halted OR c.reduce_only)
           AND EXISTS (SELECT FROM public.users AS u
                        WHERE u.id = entry.user_id AND u.is_active AND coalesce(u.settings::text, '{}') = known_settings)
           AND NOT EXISTS (SELECT FROM public.circuit_breaker_states AS b WHERE b.user_id = entry.user_id AND b.is_triggered)
           AND NOT EXISTS (SELECT FROM bridge.breaker AS b WHERE b.user_id = entry.user_id)
           AND (SELECT count(*) FROM (SELECT FROM bridge.attempt AS sent
                                       WHERE sent.user_id = entry.user_id
                                         AND sent.claimed_at > statement_timestamp() - interval '1 minute'
                                       LIMIT most_per_minute) AS sent) < most_per_minute
           AND (entry.strategy_id IS NULL
                OR EXISTS (SELECT FROM public.user_strategies AS s
                            WHERE s.id = entry.strategy_id AND s.user_id = entry.user_id
                              AND s.allocated_capital = capital));
END $$;

-- Inlined where they are called: a function with a setting of its own is not, and these name nothing that could be mistaken.
CREATE OR REPLACE FUNCTION bridge.key_symbol(symbol text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN upper(translate(symbol, '/-_ ', ''));
CREATE OR REPLACE FUNCTION bridge.twin_key(user_id uuid, account_id uuid, market text, symbol text, side text, type text,
                                           amount numeric, price numeric, stop_price numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended(concat_ws('|', user_id, account_id, market, bridge.key_symbol(symbol), side, type,
                                      trim_scale(amount), trim_scale(coalesce(price, 0)),
                                      trim_scale(coalesce(stop_price, 0))), 0);

-- The trigger of 0004 once more: a statement with one row says which. Rows that only reduce and those with a parent ask for more
-- than can be said here, and are looked at.
CREATE OR REPLACE FUNCTION bridge.take_in() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '250ms' AS $$
DECLARE
    statement bigint;
    entries bigint;
    said text := '';
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
    GET DIAGNOSTICS entries = ROW_COUNT;
    IF entries = 1 THEN
        SELECT coalesce(max(x.announcement), '') INTO said
          FROM (SELECT bridge.announcement(e.id, e.created_at, o.id, o.user_id, e.account_id, o.strategy_id, o.symbol, e.symbol,
                                           e.market, e.side, o.type::text, o.amount, o.price, o.stop_price, o.agent_id,
                                           o.created_at) AS announcement
                  FROM inserted AS o JOIN bridge.outbox AS e ON e.order_id = o.id
                 WHERE o.status = 'pending' AND o.exchange_account_id = e.account_id
                   AND NOT e.reduces AND e.parent_id IS NULL) AS x
         WHERE octet_length(x.announcement) < 4000;
    END IF;
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('bridge_orders', said);
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
