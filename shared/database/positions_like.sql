-- Positions whose id lies between two: those that begin with the same digits. $1 lowest  $2 highest
SELECT id, concat_ws(' ', side, size, display_symbol, status, opened_at) AS what
  FROM bridge.position WHERE id BETWEEN $1::uuid AND $2::uuid ORDER BY id LIMIT 10
