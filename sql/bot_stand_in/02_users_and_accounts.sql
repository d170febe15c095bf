-- STAND-IN, FOR LOCAL RUNS AND TESTS ONLY (see 01_types.sql): who trades, on which account, for which strategy.

CREATE TABLE public.limit_profiles (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(100) NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    limits jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.users (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    telegram_id bigint UNIQUE,
    telegram_username varchar(255),
    first_name varchar(255),
    last_name varchar(255),
    language_code varchar(10) DEFAULT 'en',
    email varchar(255) UNIQUE,
    password_hash varchar(255),
    is_active boolean DEFAULT true,
    is_premium boolean DEFAULT false,
    settings jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    limit_profile_id uuid REFERENCES public.limit_profiles (id) ON DELETE SET NULL,
    CONSTRAINT users_auth_method_check CHECK (
        telegram_id IS NOT NULL OR (email IS NOT NULL AND password_hash IS NOT NULL)
    )
);
CREATE INDEX idx_users_telegram_id ON public.users (telegram_id) WHERE telegram_id IS NOT NULL;
CREATE INDEX idx_users_email ON public.users (email) WHERE email IS NOT NULL;
CREATE INDEX idx_users_is_active ON public.users (is_active) WHERE is_active;
CREATE INDEX idx_users_limit_profile_id ON public.users (limit_profile_id);
CREATE TRIGGER users_updated_at BEFORE UPDATE ON public.users
    FOR EACH ROW EXECUTE FUNCTION public.update_updated_at();

CREATE TABLE public.exchange_accounts (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    exchange exchange_type NOT NULL,
    label varchar(255),
    api_key_encrypted bytea NOT NULL,
    secret_encrypted bytea NOT NULL,
    passphrase bytea,
    is_testnet boolean DEFAULT false,
    permissions text[] DEFAULT '{}',
    is_active boolean DEFAULT true,
    last_sync_at timestamptz,
    listen_key_encrypted bytea,
    listen_key_expires_at timestamptz,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    UNIQUE (user_id, exchange, label)
);
CREATE INDEX idx_exchange_accounts_user ON public.exchange_accounts (user_id);
CREATE INDEX idx_exchange_accounts_active ON public.exchange_accounts (is_active) WHERE is_active;
CREATE INDEX idx_exchange_accounts_listen_key_expires ON public.exchange_accounts (listen_key_expires_at)
    WHERE listen_key_expires_at IS NOT NULL;
CREATE TRIGGER exchange_accounts_updated_at BEFORE UPDATE ON public.exchange_accounts
    FOR EACH ROW EXECUTE FUNCTION public.update_updated_at();

CREATE TABLE public.user_strategies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    name varchar(255) NOT NULL,
    description text,
    status strategy_status NOT NULL DEFAULT 'active',
    allocated_capital numeric(20, 8) NOT NULL CHECK (allocated_capital > 0),
    current_equity numeric(20, 8) NOT NULL CHECK (current_equity >= 0),
    cash_reserve numeric(20, 8) NOT NULL DEFAULT 0 CHECK (cash_reserve >= 0),
    market_type market_type NOT NULL DEFAULT 'spot',
    risk_tolerance risk_tolerance NOT NULL,
    rebalance_frequency rebalance_frequency,
    target_allocations jsonb NOT NULL,
    total_pnl numeric(20, 8) DEFAULT 0,
    total_pnl_percent numeric(10, 4) DEFAULT 0,
    sharpe_ratio numeric(10, 4),
    max_drawdown numeric(10, 4),
    win_rate numeric(10, 4),
    created_at timestamp NOT NULL DEFAULT current_timestamp,
    updated_at timestamp NOT NULL DEFAULT current_timestamp,
    closed_at timestamp,
    last_rebalanced_at timestamp,
    reasoning_log jsonb
);
CREATE INDEX idx_user_strategies_user_id ON public.user_strategies (user_id);
CREATE INDEX idx_user_strategies_status ON public.user_strategies (status);
CREATE INDEX idx_user_strategies_created_at ON public.user_strategies (created_at DESC);
CREATE TRIGGER user_strategies_updated_at BEFORE UPDATE ON public.user_strategies
    FOR EACH ROW EXECUTE FUNCTION public.update_user_strategies_updated_at();

CREATE TABLE public.circuit_breaker_states (
    user_id uuid PRIMARY KEY REFERENCES public.users (id) ON DELETE CASCADE,
    is_triggered boolean DEFAULT false,
    triggered_at timestamptz,
    trigger_reason text,
    daily_pnl numeric(20, 8) DEFAULT 0,
    daily_pnl_percent numeric(10, 4) DEFAULT 0,
    daily_trade_count integer DEFAULT 0,
    daily_wins integer DEFAULT 0,
    daily_losses integer DEFAULT 0,
    consecutive_losses integer DEFAULT 0,
    max_daily_drawdown numeric(10, 4) DEFAULT 5.0,
    max_consecutive_loss integer DEFAULT 3,
    reset_at timestamptz DEFAULT date_trunc('day', now()) + interval '1 day',
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX idx_circuit_breaker_is_triggered ON public.circuit_breaker_states (is_triggered) WHERE is_triggered;
CREATE TRIGGER circuit_breaker_states_updated_at BEFORE UPDATE ON public.circuit_breaker_states
    FOR EACH ROW EXECUTE FUNCTION public.update_updated_at();
