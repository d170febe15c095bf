-- What kind of server and role this is; nothing here needs any right.
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer AS version_number,
       pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only')::boolean AS is_read_only,
       current_user AS role, current_database() AS database,
       to_regnamespace('bridge') IS NOT NULL AS has_bridge
