-- One line in the books of a strategy. Its time is naive and the bot's local one: the transaction has the bot's time zone.
-- $1 strategy  $2 user  $3 kind  $4 amount  $5 cash before  $6 after  $7 position  $8 order  $9 description  $10 metadata
INSERT INTO public.strategy_transactions (id, strategy_id, user_id, type, amount, balance_before, balance_after, position_id,
                                          order_id, description, metadata, created_at)
VALUES (gen_random_uuid(), $1, $2, $3::text::public.strategy_transaction_type, $4, $5, $6, $7, $8, $9, $10,
        clock_timestamp()::timestamp)
