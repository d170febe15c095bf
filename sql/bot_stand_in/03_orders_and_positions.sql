-- STAND-IN, FOR LOCAL RUNS AND TESTS ONLY (see 01_types.sql): what is traded. The bot reads orders and positions
-- with SELECT * into fixed structs, so not one column may be added here that the bot does not have.

CREATE TABLE public.orders (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    user_id uuid NOT NULL REFERENCES public.users (id),
    strategy_id uuid REFERENCES public.user_strategies (id) ON DELETE SET NULL,
    exchange_account_id uuid NOT NULL REFERENCES public.exchange_accounts (id),
    exchange_order_id varchar(255),
    symbol varchar(50) NOT NULL,
    market_type market_type NOT NULL,
    side order_side NOT NULL,
    type order_type NOT NULL,
    status order_status NOT NULL DEFAULT 'pending',
    price numeric(20, 8),
    amount numeric(20, 8) NOT NULL,
    filled_amount numeric(20, 8) DEFAULT 0,
    avg_fill_price numeric(20, 8),
    stop_price numeric(20, 8),
    reduce_only boolean DEFAULT false,
    agent_id varchar(100),
    reasoning text,
    parent_order_id uuid REFERENCES public.orders (id),
    fee numeric(20, 8) DEFAULT 0,
    fee_currency varchar(20),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    filled_at timestamptz
);
CREATE INDEX idx_orders_user ON public.orders (user_id);
CREATE INDEX idx_orders_status ON public.orders (status);
CREATE INDEX idx_orders_exchange_order_id ON public.orders (exchange_order_id);
CREATE INDEX idx_orders_exchange_order_id_set ON public.orders (exchange_order_id) WHERE exchange_order_id IS NOT NULL;
CREATE INDEX idx_orders_symbol ON public.orders (symbol);
CREATE INDEX idx_orders_created ON public.orders (created_at DESC);
CREATE INDEX idx_orders_user_live ON public.orders (user_id, status) WHERE status IN ('open', 'partial');
CREATE INDEX idx_orders_symbol_time ON public.orders (symbol, created_at DESC);
CREATE TRIGGER orders_updated_at BEFORE UPDATE ON public.orders
    FOR EACH ROW EXECUTE FUNCTION public.update_updated_at();

CREATE TABLE public.positions (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    user_id uuid NOT NULL REFERENCES public.users (id),
    strategy_id uuid REFERENCES public.user_strategies (id) ON DELETE SET NULL,
    exchange_account_id uuid NOT NULL REFERENCES public.exchange_accounts (id),
    symbol varchar(50) NOT NULL,
    market_type market_type NOT NULL,
    side position_side NOT NULL,
    size numeric(20, 8) NOT NULL,
    entry_price numeric(20, 8) NOT NULL,
    current_price numeric(20, 8),
    liquidation_price numeric(20, 8),
    leverage integer DEFAULT 1,
    margin_mode varchar(20) DEFAULT 'cross',
    unrealized_pnl numeric(20, 8) DEFAULT 0,
    unrealized_pnl_pct numeric(10, 4) DEFAULT 0,
    realized_pnl numeric(20, 8) DEFAULT 0,
    stop_loss_price numeric(20, 8),
    take_profit_price numeric(20, 8),
    trailing_stop_pct numeric(5, 2),
    stop_loss_order_id uuid REFERENCES public.orders (id),
    take_profit_order_id uuid REFERENCES public.orders (id),
    open_reasoning text,
    status position_status NOT NULL DEFAULT 'open',
    opened_at timestamptz DEFAULT now(),
    closed_at timestamptz,
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX idx_positions_user ON public.positions (user_id);
CREATE INDEX idx_positions_status ON public.positions (status);
CREATE INDEX idx_positions_symbol ON public.positions (symbol);
CREATE INDEX idx_positions_strategy ON public.positions (strategy_id);
CREATE INDEX idx_positions_user_open ON public.positions (user_id, status) WHERE status = 'open';
CREATE INDEX idx_positions_symbol_time ON public.positions (symbol, opened_at DESC);
CREATE TRIGGER positions_updated_at BEFORE UPDATE ON public.positions
    FOR EACH ROW EXECUTE FUNCTION public.update_updated_at();

CREATE TABLE public.strategy_transactions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id uuid NOT NULL REFERENCES public.user_strategies (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    type strategy_transaction_type NOT NULL,
    amount numeric(20, 8) NOT NULL CHECK (amount <> 0),
    balance_before numeric(20, 8) NOT NULL,
    balance_after numeric(20, 8) NOT NULL,
    position_id uuid REFERENCES public.positions (id) ON DELETE SET NULL,
    order_id uuid REFERENCES public.orders (id) ON DELETE SET NULL,
    description text,
    metadata jsonb,
    created_at timestamp NOT NULL DEFAULT current_timestamp,
    CHECK (balance_before + amount = balance_after)
);
CREATE INDEX idx_strategy_transactions_strategy ON public.strategy_transactions (strategy_id);
CREATE INDEX idx_strategy_transactions_user ON public.strategy_transactions (user_id);
CREATE INDEX idx_strategy_transactions_type ON public.strategy_transactions (type);
CREATE INDEX idx_strategy_transactions_created ON public.strategy_transactions (created_at DESC);
CREATE INDEX idx_strategy_transactions_position ON public.strategy_transactions (position_id);
CREATE INDEX idx_strategy_transactions_order ON public.strategy_transactions (order_id);

-- Neighbour that keeps a referenced order from being deleted.
CREATE TABLE public.portfolio_decisions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id uuid REFERENCES public.orders (id)
);
