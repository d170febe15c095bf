-- Whose strategy it is. $1 strategy
SELECT user_id FROM public.user_strategies WHERE id = $1::uuid
