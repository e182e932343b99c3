-- Each device reports every 15 s, so a minute holds four readings of it.
SELECT bucket AS time, resource_group_id AS metric, power_w_sum / 4 / 1e6 AS value
FROM metrics_1m
WHERE $__timeFilter(bucket)
ORDER BY 1
