-- Which life of an environment we are in: a wiped testnet hands out the same ids again. $1 base URL
SELECT coalesce((SELECT epoch FROM bridge.environment WHERE base_url = $1::text), 1) AS epoch
