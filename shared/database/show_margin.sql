-- DESIGN 6: show what only the exchange knows of open futures positions; a row somebody holds is left for the next look.
-- $1 positions  $2 liquidation prices  $3 leverages  $4 margin modes
WITH told AS (
    SELECT id, least(round(liquidation_price, 8), 999999999999) AS liquidation_price, leverage, margin_mode
      FROM unnest($1::uuid[], $2::numeric[], $3::integer[], $4::text[]) AS t (id, liquidation_price, leverage, margin_mode)
), changed AS MATERIALIZED (
    SELECT r.id, t.liquidation_price, t.leverage, t.margin_mode
      FROM told AS t
      JOIN public.positions AS r ON r.id = t.id
     WHERE r.status = 'open'
       AND (r.liquidation_price, r.leverage, r.margin_mode) IS DISTINCT FROM (t.liquidation_price, t.leverage, t.margin_mode)
     ORDER BY r.id
       FOR UPDATE OF r SKIP LOCKED
)
UPDATE public.positions AS r
   SET liquidation_price = c.liquidation_price, leverage = c.leverage, margin_mode = c.margin_mode
  FROM changed AS c
 WHERE r.id = c.id
