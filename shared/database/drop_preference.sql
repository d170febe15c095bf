-- DESIGN 5: a user, or one strategy of his, prefers no account any more. $1 user  $2 strategy
DELETE FROM bridge.preference WHERE user_id = $1::uuid AND strategy_id IS NOT DISTINCT FROM $2::uuid RETURNING account_id
