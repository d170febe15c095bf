-- DESIGN 6: begin a new epoch of an environment, unless another process did; whoever reads it next goes on in it.
-- $1 base URL  $2 the epoch that ended  $3 why
WITH risen AS (
    UPDATE bridge.environment SET epoch = epoch + 1, began_at = clock_timestamp(), why = $3
     WHERE base_url = $1 AND epoch = $2
 RETURNING epoch
)
INSERT INTO bridge.event (kind, data)
SELECT 'environment_wiped', jsonb_build_object('base_url', $1::text, 'epoch', epoch, 'why', $3::text) FROM risen
RETURNING id
