-- DESIGN 5: the account for a new row, and why it or none. $1 user  $2 strategy
SELECT account_id, why FROM bridge.choose_account($1::uuid, $2::uuid)
