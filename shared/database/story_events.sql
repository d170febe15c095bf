-- An order's audit trail. $1 order
SELECT at, kind, number, data FROM bridge.event WHERE order_id = $1::uuid ORDER BY id
