-- Bring the figures of strategies with books in line with their cash and what their open positions are worth; a row somebody
-- holds is left for the next look. $1 strategies (null: all)
WITH worth AS (
    SELECT s.id, s.allocated_capital,
           greatest(round(s.cash_reserve - b.owed + coalesce((
               SELECT sum(p.size * p.current_price) FROM public.positions AS p
                WHERE p.strategy_id = s.id AND p.status = 'open'), 0), 8), 0) AS equity
      FROM bridge.strategy_book AS b
      JOIN public.user_strategies AS s ON s.id = b.strategy_id
     WHERE ($1::uuid[] IS NULL OR s.id = ANY ($1::uuid[])) AND s.status <> 'closed'
       FOR UPDATE OF s SKIP LOCKED
), figures AS (
    SELECT id, equity, equity - allocated_capital AS pnl,
           least(round((equity / allocated_capital - 1) * 100, 4), 999999) AS percent
      FROM worth
)
UPDATE public.user_strategies AS s
   SET current_equity = f.equity, total_pnl = f.pnl, total_pnl_percent = f.percent
  FROM figures AS f
 WHERE s.id = f.id AND (s.current_equity, s.total_pnl, s.total_pnl_percent) IS DISTINCT FROM (f.equity, f.pnl, f.percent)
