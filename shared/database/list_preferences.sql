-- Which accounts are preferred, by whom.
SELECT p.user_id, p.strategy_id, p.account_id, p.set_by, p.set_at FROM bridge.preference AS p ORDER BY p.user_id, p.id
