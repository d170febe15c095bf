-- PROTOCOL 10: an order of ours without an attempt that is older than this is history, not another bridge. $1 older than
UPDATE bridge.installation SET pruned_before = greatest(pruned_before, clock_timestamp() - $1::interval)
