-- DESIGN 6: all lives of one holding and what it opened with. $1 holding
SELECT p.id, p.number, p.side AS cycle_side, p.size, p.cost, p.entry_price, p.peak, p.exited, p.exit_value, p.realized AS cycle_realized, p.fees,
       p.last_price, p.opened_at, p.closed_at, p.status,
       h.opening_side, h.opening_size, h.opening_price, h.opening_at
  FROM bridge.holding AS h
  LEFT JOIN bridge.position AS p ON p.holding_id = h.id
 WHERE h.id = $1
 ORDER BY p.number
