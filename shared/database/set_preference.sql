-- DESIGN 5: a user, or one strategy of his, prefers an account; only one that is his. $1 user  $2 strategy  $3 account  $4 who
INSERT INTO bridge.preference AS p (user_id, strategy_id, account_id, set_by)
SELECT $1::uuid, $2::uuid, x.id, $4::text
  FROM public.exchange_accounts AS x
 WHERE x.id = $3::uuid AND x.user_id = $1::uuid AND x.exchange = 'binance'
    ON CONFLICT (user_id, coalesce(strategy_id, '00000000-0000-0000-0000-000000000000')) DO UPDATE
   SET account_id = excluded.account_id, set_by = excluded.set_by, set_at = clock_timestamp()
RETURNING account_id
