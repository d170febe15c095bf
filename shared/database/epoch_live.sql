-- PROTOCOL 10: the identity of the history this connection sees. pg_control_checkpoint() lags after a promotion, the name of
-- the current WAL file does not.
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       left(pg_walfile_name(pg_current_wal_lsn()), 8)            AS timeline,
       (SELECT oid FROM pg_database WHERE datname = current_database()) AS database_oid,
       pg_postmaster_start_time()                                AS postmaster_start,
       pg_current_wal_lsn() - '0/0'::pg_lsn                      AS written
