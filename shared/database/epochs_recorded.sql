-- PROTOCOL 10: every history this database has had, the newest first.
SELECT id, began_at, quarantine_until, quarantine_until > clock_timestamp() AS in_quarantine, system_identifier, timeline,
       database_oid, last_entry_id, why
  FROM bridge.epoch ORDER BY id DESC
