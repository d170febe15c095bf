-- For each account a holding of five symbols, with three positions that are over and one that is open.
-- %(accounts)s accounts
WITH kept AS (
    INSERT INTO bridge.holding (account_id, market, environment_epoch, symbol, user_id, base_asset, quote_asset, dust_below,
                                cycles)
    SELECT a.id, 'spot', 1, base || 'USDT', a.user_id, base, 'USDT', 0.00001, 4
      FROM public.exchange_accounts AS a CROSS JOIN unnest(ARRAY['BTC', 'ETH', 'SOL', 'BNB', 'XRP']) AS base
     WHERE a.id = ANY (%(accounts)s::uuid[])
 RETURNING *
), life AS (
    SELECT gen_random_uuid() AS life_id, k.*, n, CASE n WHEN 4 THEN 'open' ELSE 'closed' END AS status
      FROM kept AS k CROSS JOIN generate_series(1, 4) AS n
), shown AS (
    INSERT INTO public.positions (id, user_id, exchange_account_id, symbol, market_type, side, size, entry_price, status)
    SELECT life_id, user_id, account_id, base_asset || '/USDT', 'spot', 'long', 1, 10, status::public.position_status
      FROM life
)
INSERT INTO bridge.position (id, holding_id, number, account_id, user_id, market, symbol, display_symbol, side, size, cost,
                             entry_price, peak, last_price, status, opened_at)
SELECT life_id, id, n, account_id, user_id, 'spot', symbol, base_asset || '/USDT', 'long', 1, 10, 10, 1, 10, status,
       clock_timestamp() - interval '1 day'
  FROM life
