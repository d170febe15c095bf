-- DESIGN 6: end positions that went with a wiped testnet, in the ledger and in the bot's table, unless a fill came meanwhile; what
-- they had realized stays. The keys of the positions are locked. $1 holdings  $2 their newest fill's orders  $3 why, for people
WITH gone AS MATERIALIZED (
    SELECT p.id, p.account_id, p.market, p.symbol, p.side, p.size, p.entry_price, p.peak, p.realized, h.id AS holding_id
      FROM unnest($1::uuid[], $2::text[]) AS g (holding_id, through_order)
      JOIN bridge.holding AS h ON h.id = g.holding_id AND h.through_order = g.through_order
      JOIN bridge.position AS p ON p.holding_id = h.id AND p.status = 'open'
     ORDER BY p.id
       FOR UPDATE OF p, h
), holding AS (
    UPDATE bridge.holding AS h
       SET dust = 0, dust_cost = 0, wiped_at = clock_timestamp(), changed_at = clock_timestamp()
      FROM gone AS g
     WHERE h.id = g.holding_id
), ended AS (
    UPDATE bridge.position AS p
       SET status = 'closed', size = 0, cost = 0, closed_at = clock_timestamp(), changed_at = clock_timestamp()
      FROM gone AS g
     WHERE p.id = g.id
), shown AS (
    UPDATE public.positions AS r
       SET status = 'closed', size = g.peak, unrealized_pnl = 0, unrealized_pnl_pct = 0, closed_at = clock_timestamp(),
           open_reasoning = concat_ws(' Original reasoning: ', 'Closed: ' || $3::text, nullif(r.open_reasoning, ''))
      FROM gone AS g
     WHERE r.id = g.id AND r.status = 'open'
)
INSERT INTO bridge.event (kind, account_id, data)
SELECT 'position_wiped', account_id,
       jsonb_build_object('position_id', id, 'market', market, 'symbol', symbol, 'side', side, 'size', size,
                          'entry_price', entry_price, 'realized', realized, 'reason', $3::text)
  FROM gone
 ORDER BY id
RETURNING id
