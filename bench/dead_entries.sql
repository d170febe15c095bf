-- Entries that were new and are over; every version of them stays while somebody may still see it.
-- %(dead)s how many
INSERT INTO bridge.outbox (order_id, user_id, account_id, market, symbol, side, reduces, statement_id, twin_key, age_from)
SELECT gen_random_uuid(), a.user_id, a.id, 'spot',
       (ARRAY['BTC', 'ETH', 'SOL', 'BNB', 'XRP', 'DOGE'])[1 + n %% 6] || 'USDT', 'buy', false, 0, n, clock_timestamp()
  FROM generate_series(1, %(dead)s::integer) AS n
  JOIN (SELECT id, user_id, row_number() OVER (ORDER BY id) - 1 AS place FROM public.exchange_accounts) AS a
    ON a.place = n %% (SELECT count(*) FROM public.exchange_accounts);
UPDATE bridge.outbox SET state = 'done' WHERE state = 'new'
