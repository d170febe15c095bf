-- DESIGN 6: a futures order of this account is about to be sent: have the listeners look at once whether anybody follows it, where nobody
-- does. $1 account
SELECT pg_notify('bridge_accounts', '')
 WHERE NOT EXISTS (SELECT FROM bridge.stream AS s
                    WHERE s.account_id = $1 AND s.market = 'futures' AND s.lease_until > clock_timestamp())
