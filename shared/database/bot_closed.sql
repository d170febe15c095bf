-- DESIGN 6: positions the bot closed in its table although they are still held: told once, never opened again.
-- $1 accounts  $2 market
WITH found AS (
    SELECT p.id
      FROM bridge.position AS p
      JOIN public.positions AS r ON r.id = p.id
     WHERE p.account_id = ANY ($1::uuid[]) AND p.market = $2::text AND p.status = 'open' AND p.bot_closed_at IS NULL
       AND r.status <> 'open'
       FOR UPDATE OF p SKIP LOCKED
), noted AS (
    UPDATE bridge.position AS p
       SET bot_closed_at = clock_timestamp()
      FROM found AS f
     WHERE p.id = f.id
 RETURNING p.id, p.account_id, p.market, p.symbol, p.size, p.side
), told AS (
    INSERT INTO bridge.event (kind, account_id, data)
    SELECT 'position_closed_by_bot', account_id,
           jsonb_build_object('position_id', id, 'market', market, 'symbol', symbol, 'side', side, 'size', size)
      FROM noted
)
SELECT id, account_id, symbol, size FROM noted
