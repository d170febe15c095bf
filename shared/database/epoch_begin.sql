-- PROTOCOL 10: record a new history; $5 null is the very first, which needs no quarantine.
INSERT INTO bridge.epoch (system_identifier, timeline, database_oid, postmaster_start, quarantine_until, why,
                          last_entry_id, is_first)
VALUES ($1, $2, $3, $4, clock_timestamp() + coalesce($5::interval, '0'), $6,
        (SELECT coalesce(max(id), 0) FROM bridge.outbox), $5 IS NULL)
RETURNING id, timeline, postmaster_start, quarantine_until
