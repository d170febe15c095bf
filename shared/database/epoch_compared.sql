-- PROTOCOL 10: the newest recorded history beside the live one; compared only, a service records a change.
SELECT h.id, h.why, h.began_at, h.quarantine_until, h.quarantine_until > clock_timestamp() AS in_quarantine,
       h.system_identifier = (SELECT system_identifier::text FROM pg_control_system())
           AND h.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
           AND h.database_oid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS same,
       h.is_first, h.system_identifier, h.timeline, h.database_oid, h.postmaster_start, h.last_entry_id,
       (SELECT count(*) FROM bridge.outbox AS e
         WHERE e.state IN ('new', 'backoff', 'held', 'unknown') AND bridge.awaits_round(e.id, e.asked_epoch)) AS awaiting_round
  FROM bridge.epoch AS h
 ORDER BY h.id DESC
 LIMIT 1
