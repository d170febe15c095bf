-- Whether the trigger that takes rows in is there and switched on, how often it failed, and somebody to prove it with.
SELECT (SELECT t.tgenabled::text FROM pg_trigger AS t
         WHERE t.tgrelid = 'public.orders'::regclass AND t.tgname = 'bridge_take_in') AS enabled,
       (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM bridge.trigger_failures) AS failures,
       (SELECT x.id FROM public.exchange_accounts AS x ORDER BY x.created_at, x.id LIMIT 1) AS account_id,
       (SELECT x.user_id FROM public.exchange_accounts AS x ORDER BY x.created_at, x.id LIMIT 1) AS user_id
