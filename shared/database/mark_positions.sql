-- DESIGN 6: give open positions their market price; nothing is written where nothing changes, and a row somebody holds is left
-- for the next second. Formulas of the bot, from its own rounded columns. $1 accounts  $2 market  $3 symbols  $4 prices
WITH price AS (
    SELECT symbol, round(price, 8) AS price FROM unnest($3::text[], $4::numeric[]) AS p (symbol, price)
), ours AS MATERIALIZED (
    SELECT p.id, m.price
      FROM price AS m
      JOIN bridge.position AS p ON p.symbol = m.symbol
     WHERE p.account_id = ANY ($1::uuid[]) AND p.market = $2::text AND p.status = 'open' AND p.current_price <> m.price
     ORDER BY p.id
       FOR UPDATE OF p SKIP LOCKED
), theirs AS MATERIALIZED (
    SELECT r.id, o.price, r.entry_price * r.size AS invested,
           CASE r.side WHEN 'long' THEN (o.price - r.entry_price) * r.size ELSE (r.entry_price - o.price) * r.size END AS pnl
      FROM ours AS o
      JOIN public.positions AS r ON r.id = o.id
     WHERE r.status = 'open'
     ORDER BY r.id
       FOR UPDATE OF r SKIP LOCKED
), ledger AS (
    UPDATE bridge.position AS p SET current_price = t.price FROM theirs AS t WHERE p.id = t.id
), shown AS (
    UPDATE public.positions AS r
       SET current_price = t.price, unrealized_pnl = round(t.pnl, 8),
           unrealized_pnl_pct = CASE WHEN t.invested = 0 THEN 0
               ELSE greatest(-999999.9999, least(999999.9999, round(t.pnl / t.invested * 100, 4))) END
      FROM theirs AS t
     WHERE r.id = t.id
 RETURNING 1
)
SELECT count(*) FROM shown
