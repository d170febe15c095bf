-- Orders whose id lies between two: those that begin with the same digits. $1 lowest  $2 highest
SELECT id, concat_ws(' ', side, type, symbol, status, created_at) AS what
  FROM public.orders WHERE id BETWEEN $1::uuid AND $2::uuid ORDER BY id LIMIT 10
