-- `bridge top`: which accounts are heard, by whom, how long ago it was last verified, and what is wrong. $1 most
SELECT s.account_id, coalesce(x.label, '') AS account_label, s.market, coalesce(s.owner, '') AS owner,
       s.connection_id IS NOT NULL AND coalesce(s.lease_until > clock_timestamp(), false) AS heard,
       clock_timestamp() - to_timestamp(c.verified_through_ms / 1000.0) AS verified_ago, coalesce(s.problem, '') AS problem
  FROM bridge.stream AS s
  LEFT JOIN bridge.connection AS c ON c.id = s.connection_id
  LEFT JOIN public.exchange_accounts AS x ON x.id = s.account_id
 ORDER BY s.problem IS NULL, s.connection_id IS NOT NULL, s.account_id, s.market
 LIMIT $1::integer
