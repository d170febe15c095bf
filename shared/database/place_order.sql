-- DESIGN 5: a pending row exactly as the bot makes one: every column named, absence a zero and never NULL.
-- $1 user  $2 strategy  $3 account  $4 symbol  $5 market  $6 side  $7 type  $8 price  $9 amount  $10 stop price
-- $11 reduce-only  $12 agent  $13 reasoning  $14 parent
INSERT INTO public.orders (id, user_id, strategy_id, exchange_account_id, exchange_order_id, symbol, market_type, side, type,
                           status, price, amount, filled_amount, avg_fill_price, stop_price, reduce_only, agent_id,
                           reasoning, parent_order_id, fee, fee_currency, created_at, updated_at, filled_at)
VALUES (gen_random_uuid(), $1::uuid, $2::uuid, $3::uuid, '', $4::text, $5::text::public.market_type,
        $6::text::public.order_side, $7::text::public.order_type, 'pending', $8::numeric, $9::numeric, 0, 0, $10::numeric,
        $11::boolean, $12::text, $13::text, $14::uuid, 0, '', clock_timestamp(), clock_timestamp(), NULL)
RETURNING id
