-- What an operator or the bridge itself has switched, for the metrics.
SELECT scope, count(*) FILTER (WHERE halted) AS halted, count(*) FILTER (WHERE reduce_only) AS reduce_only
  FROM bridge.control GROUP BY scope
