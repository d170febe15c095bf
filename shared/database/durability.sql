-- PROTOCOL 10: what may be lost at a crash or a failover. Without pg_monitor the states of others' standbys are null: unknown is
-- counted as not synchronous.
SELECT current_setting('fsync')::boolean AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
       ARRAY(SELECT coalesce(application_name, '(unnamed)') FROM pg_stat_replication
              WHERE coalesce(sync_state, 'async') NOT IN ('sync', 'quorum')
                AND coalesce(application_name, '') NOT LIKE 'pg\_basebackup%') AS lagging_standbys
