-- Transactions that write attempts at this moment: a claim among them may have read the switches before they were turned.
-- A statement takes this lock before it takes its snapshot, so whoever comes later has seen the switch.
SELECT DISTINCT virtualtransaction AS transaction
  FROM pg_locks
 WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = 'bridge.attempt'::regclass
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND pid <> pg_backend_pid()
