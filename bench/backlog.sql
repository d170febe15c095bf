-- Orders that wait; a fifth of them on the first account. The bridge's trigger takes them in.
-- %(accounts)s accounts, which take turns  %(count)s how many orders
INSERT INTO public.orders (id, user_id, exchange_account_id, exchange_order_id, symbol, market_type, side, type, status,
                           price, amount, filled_amount, avg_fill_price, stop_price, agent_id, reasoning, fee, fee_currency)
SELECT gen_random_uuid(), a.user_id, a.id, '', (ARRAY['BTC', 'ETH', 'SOL', 'BNB', 'XRP'])[1 + n / 7 %% 5] || '/USDT', 'spot',
       'buy', 'market', 'pending', 0, 10 + n * 0.001, 0, 0, 0, '', '', 0, ''
  FROM generate_series(1, %(count)s::integer) AS n
  JOIN unnest(%(accounts)s::uuid[]) WITH ORDINALITY AS taken (id, place)
    ON taken.place = CASE WHEN n %% 5 = 0 THEN 1 ELSE 1 + n %% cardinality(%(accounts)s::uuid[]) END
  JOIN public.exchange_accounts AS a ON a.id = taken.id
