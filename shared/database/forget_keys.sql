-- The new blobs open: forget all old ones.
DELETE FROM bridge.former_key RETURNING account_id
