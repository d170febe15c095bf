-- DESIGN 6: orders of an account that the exchange had accepted in this epoch, its first two and its newest three, the oldest first:
-- asked about, they tell whether a testnet was wiped. Those so new that queries may lag behind them are left out, and those sent
-- with another key, which may be another account's.
-- $1 account  $2 market  $3 base URL  $4 epoch  $5 hash of the key  $6 settled longer ago than
WITH accepted AS NOT MATERIALIZED (
    SELECT a.symbol, a.client_order_id, a.claimed_at
      FROM public.exchange_accounts AS x
      JOIN bridge.attempt AS a ON a.user_id = x.user_id AND a.account_id = x.id
     WHERE x.id = $1 AND a.market = $2 AND a.base_url = $3 AND a.environment_epoch = $4 AND a.api_key_hash = $5
       AND a.outcome = 'accepted' AND NOT a.conditional AND a.settled_at < clock_timestamp() - $6::interval
)
SELECT symbol, client_order_id
  FROM ((SELECT * FROM accepted ORDER BY claimed_at, client_order_id LIMIT 2)
        UNION (SELECT * FROM accepted ORDER BY claimed_at DESC, client_order_id DESC LIMIT 3)) AS chosen
 ORDER BY claimed_at, client_order_id
