-- STAND-IN, FOR LOCAL RUNS AND TESTS ONLY. Never apply it to the bot's database: there the bot's own migrations
-- have made these objects. Written from the contract between the bot and the bridge (same names, types, labels,
-- nullability, defaults, constraints and triggers), so that what works here works beside the bot.

-- The bot's defaults call uuid_generate_v4(). Where the extension is not to be had, a function of that name stands in.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'uuid-ossp') THEN
        CREATE EXTENSION IF NOT EXISTS "uuid-ossp" SCHEMA public;
    ELSE
        CREATE FUNCTION public.uuid_generate_v4() RETURNS uuid
            LANGUAGE sql VOLATILE PARALLEL SAFE
            RETURN pg_catalog.gen_random_uuid();
    END IF;
END
$$;

CREATE TYPE public.exchange_type AS ENUM ('binance', 'bybit', 'okx', 'kucoin', 'gate');
CREATE TYPE public.market_type AS ENUM ('spot', 'futures');
CREATE TYPE public.order_side AS ENUM ('buy', 'sell');
CREATE TYPE public.order_type AS ENUM ('market', 'limit', 'stop_market', 'stop_limit');
CREATE TYPE public.order_status AS ENUM ('pending', 'open', 'filled', 'partial', 'canceled', 'rejected', 'expired');
CREATE TYPE public.position_side AS ENUM ('long', 'short');
CREATE TYPE public.position_status AS ENUM ('open', 'closed', 'liquidated');
CREATE TYPE public.strategy_status AS ENUM ('active', 'paused', 'closed');
CREATE TYPE public.risk_tolerance AS ENUM ('conservative', 'moderate', 'aggressive');
CREATE TYPE public.rebalance_frequency AS ENUM ('daily', 'weekly', 'monthly', 'never');
CREATE TYPE public.strategy_transaction_type AS ENUM (
    'deposit', 'withdrawal', 'position_open', 'position_close', 'fee', 'funding_rate', 'dividend', 'interest', 'adjustment'
);

-- Every UPDATE of the bot's timestamptz tables stamps updated_at with the database's clock.
CREATE FUNCTION public.update_updated_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

-- user_strategies keeps naive timestamps and has a trigger function of its own.
CREATE FUNCTION public.update_user_strategies_updated_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := current_timestamp;
    RETURN NEW;
END
$$;
